"""Write chats to a file or a table; read JSON lines back."""

import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, Unpack

from plugchat_async._internal.files import AtomicFile, FileOptions, open_files_hint, output_errors
from plugchat_async._internal.iterables import Source
from plugchat_async._internal.threads import Threads
from plugchat_async._optional_extras import needing
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async.errors import InvalidValueError
from plugchat_async.export.csv_and_json import csv_header, from_json, to_csv, to_json
from plugchat_async.models import Chat

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

FileFormat = Literal["jsonl", "csv", "parquet"]
Chats: TypeAlias = Iterable[Chat] | AsyncIterable[Chat]
PathLike: TypeAlias = str | os.PathLike[str]

# How many chats to collect before they are written.
_BATCH = 1000


class ChatWriter(Protocol):
    """A file of chats that is being written. End it with `commit`, or with `discard`, which does nothing after that.

    Attributes:
        path: The file.
        rows: The number of chats so far.
    """

    path: Path
    rows: int

    def write(self, chats: Sequence[Chat]) -> None:
        """Write some chats.

        Raises:
            OutputError: The file can't be written.
            InvalidValueError: The format can't represent a chat.
        """

    def commit(self) -> None:
        """Make the complete file appear."""

    def discard(self) -> None:
        """Delete what has been written."""


class LineWriter:
    """A text file with a line for each chat."""

    def __init__(
        self,
        path: Path,
        to_line: Callable[[Chat, str | None], str],
        header: str,
        account: str | None,
        **options: Unpack[FileOptions],
    ) -> None:
        self.path = path
        self.rows = 0
        self._to_line = to_line
        self._account = account
        self._output = AtomicFile(path, **options)
        self._write_lines([header])

    def write(self, chats: Sequence[Chat]) -> None:
        """Write some chats."""
        self._write_lines(self._to_line(chat, self._account) + "\n" for chat in chats)
        self.rows += len(chats)

    def _write_lines(self, lines: Iterable[str]) -> None:
        try:
            with output_errors(self.path):  # also encodes, which fails for half a surrogate pair
                self._output.file.write("".join(lines).encode())
        except BaseException:
            self.discard()
            raise

    def commit(self) -> None:
        """Make the complete file appear."""
        self._output.commit()

    def discard(self) -> None:
        """Delete what has been written."""
        self._output.discard()


def open_writer(
    file_format: FileFormat, path: Path, account: str | None = None, **options: Unpack[FileOptions]
) -> ChatWriter:
    """Start a file.

    Args:
        file_format: The format.
        path: The file.
        account: The name of the account, for a first column `account` (default None: no such column).
        options: Those of `AtomicFile`.

    Raises:
        MissingExtraError: pyarrow is not installed, and the format needs it.
        OutputError: The file can't be created.
    """
    match file_format:
        case "jsonl":
            return LineWriter(path, to_json, "", account, **options)
        case "csv":
            header = csv_header(account=account is not None) + "\n"
            return LineWriter(path, to_csv, header, account, **options)
        case "parquet":
            require_pyarrow("Parquet")
            from plugchat_async.export.parquet import ParquetChatWriter  # noqa: PLC0415 - needs the extra

            return ParquetChatWriter(path, account, **options)


def has_chats(file: Path, account: str | None = None) -> bool:
    """Return whether there is a file with chats, in any of the formats. A file that can't be read may have some.

    Args:
        file: The file.
        account: An account, for a Parquet file with several of them (default None: any chat counts).
    """
    try:
        if not file.is_file() or not file.stat().st_size:
            return False
        if file.suffix == ".parquet":
            from plugchat_async.export.parquet import has_rows  # noqa: PLC0415 - needs the extra

            return has_rows(file, account)
        with file.open("rb") as lines:
            if file.suffix == ".csv":
                lines.readline()  # the header
            return any(not line.isspace() for line in lines)
    except (OSError, ImportError):
        return True


def require_pyarrow(what: str) -> None:
    """Raise MissingExtraError if the extra `parquet` is not installed."""
    with needing("parquet", what):
        import_module("pyarrow")


async def write_jsonl(chats: Chats, file: PathLike) -> int:
    """Write chats to a file, as a JSON object on each line.

        await write_jsonl(plugchat.iter_chats(), "chats.jsonl")

    Args:
        chats: An iterable or async iterable of Chat. Only some of them are in memory at a time. A generator or a
            ChatWalk is closed at the end.
        file: The file. It appears, or replaces an earlier one, when all chats are written.

    Returns:
        The number of chats.

    Raises:
        OutputError: The file can't be written. After an error, of `chats` too, an earlier file is left as it was.
    """
    return await _write(chats, "jsonl", file)


def read_jsonl(path: PathLike) -> Generator[Chat, None, None]:
    """Yield the chats of a file of JSON lines. They are equal to those that were written.

    Args:
        path: A file that `write_jsonl`, `export_many` or `plugchat chats -o` has written, in this version or an older
            one. The column `account` is ignored.

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
        reason, hint = error.strerror, open_files_hint(error) or "Use a file of JSON lines."
    else:
        return
    raise InvalidValueError(f"can't read {path}: {reason}", hint)


def _read_line(line: bytes, path: Path, number: int) -> Chat:
    try:
        return from_json(line)
    except InvalidValueError as error:
        error.message = f"line {number} of {path}: {error.message}"
        raise


async def write_csv(chats: Chats, file: PathLike) -> int:
    """Write chats to a file as CSV (RFC 4180) with a header line, as `write_jsonl` does."""
    return await _write(chats, "csv", file)


async def write_parquet(chats: Chats, file: PathLike) -> int:
    """Write chats to a file as Parquet, as `write_jsonl` does.

    Row groups of 16,384 chats are compressed with zstd, and written as they fill.

    Raises:
        MissingExtraError: The extra `parquet` is not installed.
        InvalidValueError: A number has more than 64 bits.
    """
    return await _write(chats, "parquet", file)


async def _write(chats: Chats, file_format: FileFormat, file: PathLike) -> int:
    source = Source("chats", chats, Chat)
    threads = Threads(1)
    try:
        async with threads.entered(lambda: _discarded(file_format, Path(file))) as writer:
            batch: list[Chat] = []
            while (chat := await source.next()) is not None:
                batch.append(chat)
                if len(batch) == _BATCH:
                    await threads.run(writer.write, batch)
                    batch.clear()
            await threads.run(writer.write, batch)
            await threads.run(writer.commit)
    finally:
        threads.close()
        if isinstance(chats, AsyncGenerator | ChatWalk):
            await chats.aclose()
        elif isinstance(chats, Generator):
            chats.close()
    return writer.rows


@contextmanager
def _discarded(file_format: FileFormat, path: Path) -> Generator[ChatWriter, None, None]:
    """Start a file, and discard it at the end, unless it has been committed."""
    writer = open_writer(file_format, path)
    try:
        yield writer
    finally:
        writer.discard()


def to_arrow(chats: Iterable[Chat]) -> "pa.Table":
    """Return chats as an Arrow table.

        table = to_arrow(await plugchat.list_chats())

    Raises:
        MissingExtraError: The extra `parquet` is not installed.
        InvalidValueError: A number has more than 64 bits.
    """
    require_pyarrow("to_arrow")
    from plugchat_async.export.parquet import table  # noqa: PLC0415 - needs the extra

    return table(chats)


def to_polars(chats: Iterable[Chat]) -> "pl.DataFrame":
    """Return chats as a Polars frame, as `to_arrow` does. It needs the extra `polars`."""
    with needing("polars", "to_polars"):
        import polars as pl  # noqa: PLC0415 - the extra may be missing

    return pl.DataFrame(to_arrow(chats))
