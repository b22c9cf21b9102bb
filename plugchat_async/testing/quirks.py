"""The ways in which a simulator departs from the vendor's page: how it counts, cuts, sorts and refuses."""

from typing import Final, Literal, get_args

from attrs import frozen

from plugchat_async._internal.validation import check_choice, check_int, check_number, check_optional_int, check_type

PastEnd = Literal["empty", "first", "last", "error"]
Order = Literal["newest", "oldest", "shuffled"]
WithoutTime = Literal["last", "first", "scattered"]
Archived = Literal["listed", "last", "omitted"]
ContentType = Literal["required", "refused", "ignored"]
Method = Literal["GET", "POST"]

# The Retry-After of requests over the limit, in seconds.
RETRY_AFTER: Final = 30
_MAX_CHATS: Final = 10**6
# Each response of lag keeps a copy of the list.
_MAX_LAG: Final = 1000
_CHOICES: Final = {
    "past_end": PastEnd,
    "order": Order,
    "without_time": WithoutTime,
    "archived": Archived,
    "content_type": ContentType,
    "method": Method,
}


@frozen(kw_only=True)
class Quirks:
    """The ways in which a `PlugChatSimulator` departs from the vendor's page. By default there are none.

        PlugChatSimulator(1000, quirks=Quirks(max_page_size=50))

    They concern all lists. Contacts have no times, pins and archive, and no older states.

    Shares are from 0.0 (none) to 1.0 (all). Which chats and which responses they affect is the same in each run.

    Attributes:
        first_page: The number of the first page, 1 or 0. Default 1.
        max_page_size: The cap on `pageSize`; larger pages are cut without an error. Default None: no cap.
        fixed_page_size: The size of every page, whatever `pageSize` is requested. Default None: as requested.
        refuse_page_size_above: The largest accepted `pageSize`; 400 for larger ones. Default None: all are accepted.
        ignore_page: Return the first page for each request. Default False.
        past_end: The content of a page past the end: "empty", the "first" or "last" page again, or an "error": 404.
            Default "empty".
        hidden_share: The share of chats that are left out after a page was cut: pages are short, also in the middle of
            the list. A chat is always left out, or never. Default 0.0.
        order: The order of the list: "newest" first, "oldest" first, or "shuffled". Default "newest".
        without_time: The place of chats without a time, in the order "newest": "last", "first", or "scattered" among
            the others. Default "last".
        pinned: The number of chats from the end of the account's list that are pinned at first. Pinned chats are on top
            of the list; in the dialect "gateway", their `is_pinned` is True. Default 0.
        archived: The place of archived chats: "listed" as others, "last" in the list, or "omitted" from it. Default
            "listed".
        tie_size: The number of neighbouring chats that have the same `last_message_time`. Default 1.
        reorder_ties: Change the order of chats with the same time from response to response. Default False.
        duplicates: The number of chats from the top of the list that are listed twice. Default 0.
        duplicate_distance: The number of chats by which the second row of such a chat is further down. It has the time
            of the chat that it is behind. Default 1: right behind the first row.
        empty_share: The share of responses without chats (200 and `[]`). `Fault.answer("[]")` makes a certain response
            empty. Default 0.0.
        partial_share: The share of responses from the first half of the list, as if it had no more chats.
            `Fault.partial` does that to a certain response. Default 0.0.
        lagging_share: The share of responses from an older state of the list, as of a lagging replica. Default 0.0.
        replica_lag: How old that state is, in responses of the account. Default 1.
        content_type: Whether Content-Type: application/json is "required", "refused" or "ignored". Default "required".
        method: The allowed method, "GET" or "POST". Default "GET".
        max_requests: The number of requests that are answered, of all accounts; later ones get 429 with Retry-After:
            30. All responses then have X-RateLimit-Limit and X-RateLimit-Remaining. Default None: no limit.

    Raises:
        InvalidValueError: A value is out of range.
        InvalidTypeError: A value has the wrong type.
    """

    first_page: int = 1
    max_page_size: int | None = None
    fixed_page_size: int | None = None
    refuse_page_size_above: int | None = None
    ignore_page: bool = False
    past_end: PastEnd = "empty"
    hidden_share: float = 0.0
    order: Order = "newest"
    without_time: WithoutTime = "last"
    pinned: int = 0
    archived: Archived = "listed"
    tie_size: int = 1
    reorder_ties: bool = False
    duplicates: int = 0
    duplicate_distance: int = 1
    empty_share: float = 0.0
    partial_share: float = 0.0
    lagging_share: float = 0.0
    replica_lag: int = 1
    content_type: ContentType = "required"
    method: Method = "GET"
    max_requests: int | None = None

    def __attrs_post_init__(self) -> None:
        check_int("first_page", self.first_page, minimum=0, maximum=1)
        for name in ("max_page_size", "fixed_page_size", "refuse_page_size_above"):
            check_optional_int(name, getattr(self, name), minimum=1)
        check_optional_int("max_requests", self.max_requests, minimum=0)
        check_type("ignore_page", self.ignore_page, bool)
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), get_args(choices))
        for name in ("hidden_share", "empty_share", "partial_share", "lagging_share"):
            check_number(name, getattr(self, name), maximum=1)
        check_int("pinned", self.pinned, minimum=0, maximum=_MAX_CHATS)
        check_int("tie_size", self.tie_size, minimum=1, maximum=_MAX_CHATS)
        check_type("reorder_ties", self.reorder_ties, bool)
        check_int("duplicates", self.duplicates, minimum=0, maximum=_MAX_CHATS)
        check_int("duplicate_distance", self.duplicate_distance, minimum=1, maximum=_MAX_CHATS)
        check_int("replica_lag", self.replica_lag, minimum=1, maximum=_MAX_LAG)
