"""The items of the vendor's lists: what all of their classes can do, and their fields as columns."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Self, cast, get_args, get_type_hints

import msgspec
from attrs import asdict, evolve, fields, has

from plugchat_async.errors import InvalidTypeError, InvalidValueError

# The class of what a list holds. Type checkers take `Page` for `Page[Chat]`; Python 3.11 and 3.12 know no such default.
if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from plugchat_async.models import Chat

    ItemT = TypeVar("ItemT", default=Chat)
    ItemT_co = TypeVar("ItemT_co", default=Chat, covariant=True)
else:
    from typing import TypeVar

    ItemT = TypeVar("ItemT")
    ItemT_co = TypeVar("ItemT_co", covariant=True)

T = TypeVar("T")

_FROM_DICT_HINT: Final = (
    "Items are read back as they were exported, with the class's own names. "
    "To read a row as the gateway sends it, use plugchat_async.converter."
)


class ListItem:
    """What `Chat` and the items of the vendor's other lists have in common."""

    __slots__ = ()

    if TYPE_CHECKING:
        phone: str | None
        lid: str | None

    @property
    def id(self) -> str:
        """The address: the phone, else the lid. Messages can be sent to it. "" if there is neither.

        It is not a key: one person may have several rows, with one address or two. See `merge_people`.
        """
        return self.phone or self.lid or ""

    def to_dict(self) -> dict[str, Any]:
        """Return the item as JSON has it: the class's own names in order, times as RFC 3339 texts in UTC."""
        item: Any = self
        values: dict[str, Any] = msgspec.to_builtins(asdict(item, recurse=False))
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return an item from a dict that `to_dict` returned, or from a line of an export.

        Args:
            values: The class's own names and their values. Names that are missing have their defaults, names that it
                does not know are ignored. To read a row as the gateway sends it, use `plugchat_async.converter`.

        Raises:
            InvalidValueError: A value is of another type than the field, or there is neither a phone nor a lid.

        """
        return item_from_dict(cls, values)


def check_item(item: object) -> None:
    """Raise InvalidTypeError unless something is a class of items."""
    if not isinstance(item, type) or not has(item):
        got = item.__name__ if isinstance(item, type) else repr(item)
        raise InvalidTypeError(
            f"item must be an attrs class, got {got[:80]}", "Pass the class of the items, such as Contact."
        )


def item_hint(got: type) -> str:
    """Return what to do, in words, about something of a class where items of another class are expected."""
    if has(got) and "phone" in columns_of(got):
        return f"Pass item={got.__name__}, the class of the items."
    return "Pass the items themselves, such as plugchat.iter_chats() or a list of Chat."


@cache
def columns_of(item: Any) -> tuple[str, ...]:
    """Return the names of the fields of a class of items, in order: the columns of an export."""
    return tuple(a.name for a in fields(item))


@cache
def getter_of(item: Any) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that returns the values of an item of a class, in the order of its columns."""
    columns = columns_of(item)
    get = attrgetter(*columns)
    return get if len(columns) > 1 else lambda item: (get(item),)


@cache
def noun_of(item: Any) -> str:
    """Return the name of a class of items in words: "chat", "contact", "pending chat"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", item.__name__).lower()


def item_from_dict(item: type[T], values: Mapping[str, Any]) -> T:
    """Return an item of a class from a dict of its fields, see `ListItem.from_dict`."""
    kind: Any = item
    try:
        return _checked(msgspec.convert(dict(values), item))
    except (msgspec.ValidationError, ValueError, TypeError, OverflowError) as error:
        reason = str(error)
    raise InvalidValueError(f"not a {noun_of(kind)}: {reason}", _FROM_DICT_HINT)


def _checked(item: T) -> T:
    """Return an item with its times in UTC. Raise ValueError if it has no id, or a time without an offset."""
    if isinstance(item, ListItem) and not item.id:
        raise ValueError("there is neither a phone nor a lid")
    kind: Any = type(item)
    times: dict[str, Any] = {}
    for name in _times_of(kind):
        time: datetime | None = getattr(item, name)
        if time is not None and time.tzinfo is None:
            raise ValueError(f"{name} has no offset from UTC")
        if time is not None and time.tzinfo is not UTC:
            times[name] = time.astimezone(UTC)
    changed: Any = item
    if times:
        changed = evolve(changed, **times)
    return cast("T", changed)


def naive_utc(time: datetime) -> datetime:
    """Return a time as spreadsheets and tables show them: in UTC, and without saying so."""
    # One at the end of the calendar, such as FOREVER in another zone, can't be moved.
    with suppress(OverflowError):
        time = time if time.tzinfo is None else time.astimezone(UTC)
    return time.replace(tzinfo=None)


@cache
def _times_of(item: Any) -> tuple[str, ...]:
    """Return the names of the fields of a class that are times."""
    hints = get_type_hints(item)  # without what Annotated adds
    types = {a.name: hints.get(a.name, a.type) for a in fields(item)}
    return tuple(name for name, kind in types.items() if datetime in (kind, *get_args(kind)))
