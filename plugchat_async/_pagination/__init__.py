"""Which page to request next, and when to stop: one file for each kind of walk. Only the last two do I/O.

steps          what a walk asks of the runner: a page to fetch, to peek at, to yield
state          the state of a walk; `checkpoint` makes a text of it
server_traits  what is known of the server: caps of `pageSize`, a `page` that is ignored
sequential     pages in order; `plain`, `exact` and `strict` are the three guarantees; `strategy` chooses
options        the options of a walk
prefetch       pages that are requested ahead
runner         ChatWalk, which makes the requests
"""
