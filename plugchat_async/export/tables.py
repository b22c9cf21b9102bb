"""Chats as tables of other libraries: Arrow, pandas, Polars."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# The types of pyarrow are incomplete, and pandas has none.

from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, overload

from attrs import AttrsInstance

from plugchat_async._internal.iterables import Source
from plugchat_async._internal.threads import finish_in_thread
from plugchat_async._items import check_item, item_hint
from plugchat_async._optional_extras import needing
from plugchat_async.export.writers import Items, close_chats
from plugchat_async.models import Chat

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

T = TypeVar("T")


@overload
def to_arrow(chats: Iterable[AttrsInstance], *, item: type[Any] = ...) -> "pa.Table": ...
@overload
def to_arrow(chats: AsyncIterable[AttrsInstance], *, item: type[Any] = ...) -> "Awaitable[pa.Table]": ...
def to_arrow(chats: Items, *, item: type[Any] = Chat) -> "pa.Table | Awaitable[pa.Table]":
    """Return chats, or items of another list, as an Arrow table.

        table = await to_arrow(plugchat.iter_chats())

    Args:
        chats: An iterable of Chat, or of `item`, or an async one: then await the result. A generator or a ChatWalk is
            closed at the end.
        item: The class of the items (default Chat).

    Raises:
        MissingExtraError: The extra `parquet` is not installed.
        InvalidValueError: A number has more than 64 bits.
        InvalidTypeError: `chats` is not an iterable of `item`.
    """
    return _converted(chats, item, _table_maker("parquet", "to_arrow", item))


@overload
def to_pandas(chats: Iterable[AttrsInstance], *, item: type[Any] = ...) -> "pd.DataFrame": ...
@overload
def to_pandas(chats: AsyncIterable[AttrsInstance], *, item: type[Any] = ...) -> "Awaitable[pd.DataFrame]": ...
def to_pandas(chats: Items, *, item: type[Any] = Chat) -> "pd.DataFrame | Awaitable[pd.DataFrame]":
    """Return chats as a pandas frame, as `to_arrow` does. It needs the extra `pandas`.

    Texts, integers and booleans have the types `string`, `Int64` and `boolean`, which have a value for null. So a phone
    stays a text, and a count an integer.
    """
    with needing("pandas", "to_pandas"):
        import pandas as pd  # noqa: PLC0415 - the extra may be missing
        import pyarrow as pa  # noqa: PLC0415 - the extra may be missing
    table = _table_maker("pandas", "to_pandas", item)
    types: dict[pa.DataType, Any] = {
        pa.string(): pd.StringDtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }

    def pandas_type(kind: pa.DataType) -> Any:
        return types.get(kind)

    return _converted(chats, item, lambda found: table(found).to_pandas(types_mapper=pandas_type))


@overload
def to_polars(chats: Iterable[AttrsInstance], *, item: type[Any] = ...) -> "pl.DataFrame": ...
@overload
def to_polars(chats: AsyncIterable[AttrsInstance], *, item: type[Any] = ...) -> "Awaitable[pl.DataFrame]": ...
def to_polars(chats: Items, *, item: type[Any] = Chat) -> "pl.DataFrame | Awaitable[pl.DataFrame]":
    """Return chats as a Polars frame, as `to_arrow` does. It needs the extra `polars`."""
    with needing("polars", "to_polars"):
        import polars as pl  # noqa: PLC0415 - the extra may be missing
    table = _table_maker("polars", "to_polars", item)
    return _converted(chats, item, lambda found: pl.DataFrame(table(found)))


def _table_maker(extra: str, what: str, item: type[Any]) -> "Callable[[Sequence[Any]], pa.Table]":
    with needing(extra, what):
        import_module("pyarrow")
    from plugchat_async.export.parquet import table  # noqa: PLC0415 - needs it

    return lambda found: table(found, item)


def _converted(chats: Items, item: type[Any], convert: Callable[[Sequence[Any]], T]) -> T | Awaitable[T]:
    """Convert chats, at once or when they have come."""
    check_item(item)
    source: Source[AttrsInstance] = Source("chats", chats, item, hint=item_hint)
    if isinstance(chats, AsyncIterable):
        return _when_read(source, chats, convert)
    try:
        return convert(source.take_all())
    finally:
        if isinstance(chats, Generator):
            chats.close()


async def _when_read(source: Source[AttrsInstance], chats: Items, convert: Callable[[Sequence[Any]], T]) -> T:
    found: list[AttrsInstance] = []
    try:
        while (chat := await source.next()) is not None:
            found.append(chat)
    finally:
        await close_chats(chats)
    return await finish_in_thread(lambda: convert(found))  # some 100,000 would hold up the event loop
