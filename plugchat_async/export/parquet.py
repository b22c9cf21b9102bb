"""Chats as Arrow and Parquet, with pyarrow."""

# pyright: reportUnknownMemberType=false
# Some types are incomplete in its stubs.

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Unpack

import pyarrow as pa
import pyarrow.parquet as pq

from plugchat_async._internal.files import UNICODE_HINT, AtomicFile, FileOptions, output_errors
from plugchat_async.errors import InvalidValueError
from plugchat_async.export.csv_and_json import ACCOUNT
from plugchat_async.models import COLUMNS, Chat, values_of

# Two megabytes in memory. Larger groups would add up when many accounts are written at a time.
ROW_GROUP: Final = 16_384

_FIELDS: Final["tuple[pa.Field[Any], ...]"] = (
    pa.field("phone", pa.string()),
    pa.field("name", pa.string()),
    pa.field("unread", pa.int64(), nullable=False),
    pa.field("last_message_time", pa.timestamp("us", tz="UTC")),
    pa.field("is_muted", pa.bool_(), nullable=False),
    pa.field("is_marked_spam", pa.bool_(), nullable=False),
    pa.field("profile_thumbnail", pa.string()),
    pa.field("messages_unread", pa.int64()),
    pa.field("lid", pa.string()),
    pa.field("is_pinned", pa.bool_()),
    pa.field("is_archived", pa.bool_()),
    pa.field("is_group", pa.bool_()),
    pa.field("is_group_announcement", pa.bool_()),
    pa.field("muted_until", pa.timestamp("us", tz="UTC")),
)
assert tuple(field.name for field in _FIELDS) == COLUMNS
SCHEMA: Final = pa.schema(_FIELDS)
SCHEMA_WITH_ACCOUNT: Final = pa.schema([pa.field(ACCOUNT, pa.string(), nullable=False), *_FIELDS])


def batch_of(chats: Sequence[Chat], account: str | None) -> pa.RecordBatch:
    """Return chats as columns.

    Raises:
        InvalidValueError: A number has more than 64 bits, or a text is not valid Unicode.
    """
    columns = list(zip(*map(values_of, chats), strict=True)) or [()] * len(COLUMNS)
    problem, hint = "", "Leave that chat out, or write jsonl or csv instead."
    arrays: list[pa.Array[Any]] = []
    try:
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _FIELDS, strict=True)]
    except UnicodeEncodeError:
        problem, hint = "a chat's text is not valid Unicode: it holds half of a surrogate pair", UNICODE_HINT
    except (OverflowError, pa.ArrowInvalid):
        problem = "a chat's unread or messages_unread has more than 64 bits"
    if problem:
        raise InvalidValueError(problem, hint)
    if account is None:
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
    names = pa.array([account] * len(chats), pa.string())
    return pa.RecordBatch.from_arrays([names, *arrays], schema=SCHEMA_WITH_ACCOUNT)


def table(chats: Iterable[Chat]) -> pa.Table:
    """Return chats as a table."""
    return pa.Table.from_batches([batch_of(tuple(chats), None)], SCHEMA)


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

    def __init__(self, path: Path, account: str | None, **options: Unpack[FileOptions]) -> None:
        self.path = path
        self.rows = 0
        self._account = account
        self._schema = SCHEMA if account is None else SCHEMA_WITH_ACCOUNT
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._output = AtomicFile(path, **options)
        try:
            with output_errors(path):
                self._writer = pq.ParquetWriter(self._output.file, self._schema, compression="zstd")
        except BaseException:
            self._output.discard()
            raise

    def write(self, chats: Sequence[Chat]) -> None:
        """Write some chats."""
        if chats:
            self.add(batch_of(chats, self._account))

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
