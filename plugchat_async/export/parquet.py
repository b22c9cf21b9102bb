"""Chats, and items of other lists, as Arrow and Parquet, with pyarrow."""

# pyright: reportUnknownMemberType=false
# Some types are incomplete in its stubs.

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Unpack

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from plugchat_async._internal.files import UNICODE_HINT, AtomicFile, FileOptions, output_errors
from plugchat_async._items import columns_of, getter_of, noun_of
from plugchat_async.errors import InvalidTypeError, InvalidValueError
from plugchat_async.export.csv_and_json import ACCOUNT
from plugchat_async.models import Chat

# Two megabytes in memory. Larger groups would add up when many accounts are written at a time.
ROW_GROUP: Final = 16_384

# The types of columns by those of fields, and whether there are nulls.
_TYPES: Final[dict[Any, tuple[Any, bool]]] = {
    str: (pa.string(), False),
    str | None: (pa.string(), True),
    int: (pa.int64(), False),
    int | None: (pa.int64(), True),
    bool: (pa.bool_(), False),
    bool | None: (pa.bool_(), True),
    datetime: (pa.timestamp("us", tz="UTC"), False),
    datetime | None: (pa.timestamp("us", tz="UTC"), True),
}


@cache
def schema_of(item: Any, *, account: bool = False) -> pa.Schema:
    """Return the schema of a file of items of a class.

    Args:
        item: The class.
        account: Whether there is a first column `account` (default False).

    Raises:
        InvalidTypeError: A field has a type that no item of a list has.
    """
    columns = [pa.field(ACCOUNT, pa.string(), nullable=False)] if account else []
    for attribute in attrs.fields(attrs.resolve_types(item)):
        if attribute.type not in _TYPES:
            raise InvalidTypeError(
                f"{item.__name__}.{attribute.name} can't be a column: it is of type {attribute.type}",
                "Use str, int, bool or datetime, each also `| None`, or write jsonl instead.",
            )
        of, nullable = _TYPES[attribute.type]
        columns.append(pa.field(attribute.name, of, nullable=nullable))
    return pa.schema(columns)


def batch_of(chats: Sequence[Any], account: str | None, item: Any = Chat) -> pa.RecordBatch:
    """Return chats, or other items of one class, as columns.

    Raises:
        InvalidValueError: A number has more than 64 bits, or a text is not valid Unicode.
    """
    schema = schema_of(item)
    types: list[Any] = schema.types
    columns = list(zip(*map(getter_of(item), chats), strict=True)) or [()] * len(columns_of(item))
    noun = noun_of(item)
    problem, hint = "", f"Leave that {noun} out, or write jsonl or csv instead."
    arrays: list[pa.Array[Any]] = []
    try:
        arrays = [pa.array(column, of) for column, of in zip(columns, types, strict=True)]
    except UnicodeEncodeError:
        problem, hint = f"a {noun}'s text is not valid Unicode: it holds half of a surrogate pair", UNICODE_HINT
    except (OverflowError, pa.ArrowInvalid):
        counts = " or ".join(name for name, of in zip(columns_of(item), types, strict=True) if of == pa.int64())
        problem = f"a {noun}'s {counts} has more than 64 bits"
    if problem:
        raise InvalidValueError(problem, hint)
    if account is None:
        return pa.RecordBatch.from_arrays(arrays, schema=schema)
    names = pa.array([account] * len(chats), pa.string())
    return pa.RecordBatch.from_arrays([names, *arrays], schema=schema_of(item, account=True))


def table(chats: Iterable[Any], item: Any = Chat) -> pa.Table:
    """Return chats, or other items of one class, as a table."""
    return pa.Table.from_batches([batch_of(tuple(chats), None, item)], schema_of(item))


def has_rows(file: Path, account: str | None = None) -> bool:
    """Return whether a file has chats, of any account or of one. A damaged file may have some."""
    try:
        with file.open("rb") as source:  # pyarrow itself would leave a damaged file open
            if account is None or ACCOUNT not in pq.read_schema(source).names:
                return pq.read_metadata(source).num_rows > 0
            return account in pq.read_table(source, columns=[ACCOUNT])[ACCOUNT].unique().to_pylist()
    except pa.ArrowException:
        return True


class ParquetChatWriter:
    """A Parquet file that is being written. Less than a row group is in memory, as columns.

    Attributes:
        path: The file.
        rows: The number of chats so far.
    """

    def __init__(self, path: Path, account: str | None, item: Any = Chat, **options: Unpack[FileOptions]) -> None:
        self.path = path
        self.rows = 0
        self._account = account
        self._item = item
        self._schema = schema_of(item, account=account is not None)
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._output = AtomicFile(path, **options)
        try:
            with output_errors(path):
                self._writer = pq.ParquetWriter(self._output.file, self._schema, compression="zstd")
        except BaseException:
            self._output.discard()
            raise

    def write(self, chats: Sequence[Any]) -> None:
        """Write some chats."""
        if chats:
            self.add(batch_of(chats, self._account, self._item))

    def add(self, batch: pa.RecordBatch) -> None:
        """Write some chats that `batch_of` has converted to columns."""
        if self._pending_rows + batch.num_rows > ROW_GROUP:
            self._flush()
        self._pending.append(batch)
        self._pending_rows += batch.num_rows
        self.rows += batch.num_rows

    def _flush(self) -> None:
        if not self._pending:
            return
        table_ = pa.Table.from_batches(self._pending, self._schema)
        with output_errors(self.path):
            self._writer.write_table(table_, row_group_size=ROW_GROUP)
        self._pending.clear()
        self._pending_rows = 0

    def commit(self) -> None:
        """Make the complete file appear."""
        try:
            self._flush()
            with output_errors(self.path):
                self._writer.close()
            self._output.commit()
        finally:
            self.discard()

    def discard(self) -> None:
        """Delete what has been written."""
        self._pending.clear()
        with suppress(OSError, ValueError):  # closing writes the footer
            self._writer.close()
        self._output.discard()
