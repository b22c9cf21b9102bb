"""Which page to request next, and when to stop. Only `prefetch`, `page_source` and `chat_walk` wait.

walk_steps       what a walker asks for: a page to fetch, to peek at, to yield
walk_state       what a walk needs to continue; `checkpoint` makes a text of it
server_traits    what is known of the server: a capped `pageSize`, an ignored `page`
until_last_page  pages in order until the last one, for all walkers
plain, exact, strict   the walkers, one for each guarantee; `strategy` chooses
options          the options of a walk
page_source      where pages come from; `walk_reporter` reports what came of them
prefetch         pages that are requested ahead
chat_walk        ChatWalk, which makes the requests that the walkers ask for
"""
