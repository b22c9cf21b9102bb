"""One page over HTTP, whatever it takes: the request, retries, repairs, and the decoded response."""
