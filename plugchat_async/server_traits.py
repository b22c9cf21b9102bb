"""ServerTraits: what is known of a server, so that not every walk has to find it out."""

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

import msgspec
from attrs import asdict, define, evolve, fields

from plugchat_async.errors import InvalidValueError

_HINT: Final = "Pass what `ServerTraits.to_dict` returned, or leave out `server_traits`."


@define(kw_only=True)
class ServerTraits:
    """What walks have learned about a server: the sizes of its pages, and how its lists end.

    A walk doubts the first short page of a server: it may be cut to a smaller size than requested, or have lost rows
    that the server hides. One request shows that. What it shows is a property of the server, not of the account, so a
    session's walks share it, and all accounts of `fetch_many` on one base URL. A session can be told what an earlier
    one has learned:

        async with PlugChatSession(token, server_traits=ServerTraits.from_dict(saved)) as plugchat:
            ...
            saved = plugchat.server_traits.to_dict()

    Attributes:
        max_page_size: The number of rows to which the server cuts larger pages, or None if none was cut.
        longest_page: The largest number of rows that a page had. Sizes up to it are honoured.
        refused_page_size: The smallest `pageSize` that was refused, or None.
        short_pages: Where pages with fewer rows than requested are: "end" at the end of the list only, "anywhere" in
            the middle, too, or None if none was checked.
        past_end: What comes past the end: "empty" pages, an "error" such as 404, or an earlier page again, "repeated".
            None if unknown.
        page_zero: What page 0 is: the "first" page, "empty", or an "error". None if unknown; only the doctor asks.
    """

    max_page_size: int | None = None
    longest_page: int = 0
    refused_page_size: int | None = None
    short_pages: Literal["end", "anywhere"] | None = None
    past_end: Literal["empty", "error", "repeated"] | None = None
    page_zero: Literal["first", "empty", "error"] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the traits as JSON has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the traits that `to_dict` returned. Names that are unknown are ignored.

        Raises:
            InvalidValueError: A value is of another type.
        """
        known = {a.name for a in fields(cls)}
        try:
            return msgspec.convert({name: value for name, value in dict(values).items() if name in known}, cls)
        except (msgspec.ValidationError, ValueError, TypeError):
            raise InvalidValueError("these are not the traits of a server", _HINT) from None

    def update(self, other: "ServerTraits") -> None:
        """Take over what another object knows, and this one does not."""
        for a in fields(type(self)):
            value = getattr(other, a.name)
            if value is not None and getattr(self, a.name) is None:
                setattr(self, a.name, value)
        self.longest_page = max(self.longest_page, other.longest_page)

    def copy(self) -> Self:
        """Return an object of its own with the same values."""
        return evolve(self)
