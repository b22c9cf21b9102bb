"""Write chats to a file or a table; read JSON lines back."""

import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from plugchat_async._extras import needing
from plugchat_async._internal.files import AtomicFile, output_errors
from plugchat_async._internal.iterables import Source
from plugchat_async.errors import InvalidValueError
from plugchat_async.export.rows import csv_header, from_json, to_csv, to_json
from plugchat_async.models import Chat

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

FileFormat = Literal["jsonl", "csv", "parquet"]
Chats: TypeAlias = Iterable[Chat] | AsyncIterable[Chat]
PathLike: TypeAlias = str | os.PathLike[str]

# Chats that are held while a walk is written.
_BATCH = 1000


class Sink(Protocol):
    """Where chats are written. `commit` at the end, or `discard`, which does nothing after it."""

    path: Path
    rows: int

    def write(self, chats: Sequence[Chat]) -> None:
        """Write some chats. OutputError if that fails; InvalidValueError if the format can't hold one."""

    def commit(self) -> None:
        """Let the file appear."""

    def discard(self) -> None:
        """Leave nothing."""


class TextSink:
    """A file with a line a chat."""

    def __init__(
        self, path: Path, to_line: Callable[[Chat, str | None], str], header: str, account: str | None
    ) -> None:
        self.path = path
        self.rows = 0
        self._to_line = to_line
        self._account = account
        self._whole = AtomicFile(path)
        self._put([header])

    def write(self, chats: Sequence[Chat]) -> None:
        """Write some chats."""
        self._put(self._to_line(chat, self._account) + "\n" for chat in chats)
        self.rows += len(chats)

    def _put(self, lines: Iterable[str]) -> None:
        try:
            with output_errors(self.path):  # half a surrogate pair can't be
                self._whole.file.write("".join(lines).encode())
        except BaseException:
            self.discard()
            raise

    def commit(self) -> None:
        """Let the file appear."""
        self._whole.commit()

    def discard(self) -> None:
        """Leave nothing."""
        self._whole.discard()


def open_sink(style: FileFormat, path: Path, account: str | None = None) -> Sink:
    """Begin a file; with the account's name as its first column, if it is given. MissingExtraError without pyarrow."""
    match style:
        case "jsonl":
            return TextSink(path, to_json, "", account)
        case "csv":
            return TextSink(path, to_csv, csv_header(account=account is not None) + "\n", account)
        case "parquet":
            need_pyarrow("Parquet")
            from plugchat_async.export.parquet import ParquetSink  # noqa: PLC0415 - needs the extra

            return ParquetSink(path, account)


def need_pyarrow(what: str) -> None:
    """Raise MissingExtraError if the extra `parquet` is not installed."""
    with needing("parquet", what):
        import_module("pyarrow")


async def write_jsonl(chats: Chats, file: PathLike) -> int:
    """Write chats as JSON lines, and give how many there were.

        await write_jsonl(plugchat.iter_chats(), "chats.jsonl")

    chats: an iterable or async iterable of Chat; a generator is closed at the end. Some are held in memory, never all.
    file: where to; the file appears, or takes another's place, when all are written.

    OutputError if it can't be written; and what `chats` raises. Then there is no file, or the one from before.
    """
    return await _write(chats, "jsonl", file)


def read_jsonl(path: PathLike) -> Generator[Chat, None, None]:
    """Read back the chats of a file of JSON lines, one at a time, equal to those that were written.

    Args:
        path: What `write_jsonl`, `export_many` or `plugchat chats -o` wrote, now or with an older version. Of files
            that hold several accounts, the account's name is left out.

    Raises:
        InvalidValueError: The file can't be read, or a line is not a chat; the message has the line's number.

    """
    path = Path(path)
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.isspace():
                    yield _read_line(line, path, number)
    except OSError as error:
        reason = error.strerror
    else:
        return
    raise InvalidValueError(f"can't read {path}: {reason}", "Name a file of JSON lines.")


def _read_line(line: bytes, path: Path, number: int) -> Chat:
    try:
        return from_json(line)
    except InvalidValueError as error:
        error.message = f"line {number} of {path}: {error.message}"
        raise


async def write_csv(chats: Chats, file: PathLike) -> int:
    """Write chats as CSV (RFC 4180) with a heading, and give how many there were. As `write_jsonl`."""
    return await _write(chats, "csv", file)


async def write_parquet(chats: Chats, file: PathLike) -> int:
    """Write chats as Parquet, and give how many there were. As `write_jsonl`.

    Row groups of 16,384 chats are written as they fill, compressed with zstd. MissingExtraError without the extra
    `parquet`; InvalidValueError for a number of more than 64 bits.
    """
    return await _write(chats, "parquet", file)


async def _write(chats: Chats, style: FileFormat, file: PathLike) -> int:
    source = Source("chats", chats, Chat)
    try:
        sink = open_sink(style, Path(file))
        try:
            batch: list[Chat] = []
            while (chat := await source.next()) is not None:
                batch.append(chat)
                if len(batch) == _BATCH:
                    sink.write(batch)
                    batch.clear()
            sink.write(batch)
            sink.commit()
        finally:
            sink.discard()
    finally:
        if isinstance(chats, AsyncGenerator):
            await chats.aclose()
        elif isinstance(chats, Generator):
            chats.close()
    return sink.rows


def to_arrow(chats: Iterable[Chat]) -> "pa.Table":
    """Give chats as an Arrow table; of a walk, `to_arrow(await plugchat.list_chats())`.

    MissingExtraError without the extra `parquet`; InvalidValueError for a number of more than 64 bits.
    """
    need_pyarrow("to_arrow")
    from plugchat_async.export.parquet import table  # noqa: PLC0415 - needs the extra

    return table(chats)


def to_polars(chats: Iterable[Chat]) -> "pl.DataFrame":
    """Give chats as a Polars frame. As `to_arrow`; needs the extra `polars`."""
    with needing("polars", "to_polars"):
        import polars as pl  # noqa: PLC0415 - the extra may be missing

    return pl.DataFrame(to_arrow(chats))
