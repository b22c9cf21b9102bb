"""Write chats to a file; read JSON lines back."""

import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, Unpack, get_args, overload

from attrs import AttrsInstance

from plugchat_async._internal.files import AtomicFile, FileOptions, open_files_hint, output_errors
from plugchat_async._internal.iterables import Source
from plugchat_async._internal.threads import Threads
from plugchat_async._internal.validation import check_choice
from plugchat_async._items import T, check_item, item_hint
from plugchat_async._optional_extras import needing
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async.errors import InvalidValueError
from plugchat_async.export.csv_and_json import CsvDialect, csv_header, from_json, to_csv, to_json
from plugchat_async.models import Chat

FileFormat = Literal["jsonl", "csv", "parquet", "xlsx"]
Items: TypeAlias = Iterable[AttrsInstance] | AsyncIterable[AttrsInstance]
PathLike: TypeAlias = str | os.PathLike[str]

# How many chats to collect before they are written.
_BATCH = 1000
_COMPRESSED = (".gz", ".bgz", ".bz2", ".xz", ".zst", ".lz4", ".br", ".zip")


class ChatWriter(Protocol):
    """A file of chats that is being written. End it with `commit`, or with `discard`, which does nothing after that.

    Attributes:
        path: The file.
        rows: The number of chats so far.
    """

    path: Path
    rows: int

    def write(self, chats: Sequence[Any]) -> None:
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
        to_line: Callable[[Any, str | None], str],
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

    def write(self, chats: Sequence[Any]) -> None:
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
    file_format: FileFormat,
    path: Path,
    account: str | None = None,
    item: type[Any] = Chat,
    *,
    dialect: CsvDialect = "rfc4180",
    **options: Unpack[FileOptions],
) -> ChatWriter:
    """Start a file.

    Args:
        file_format: The format.
        path: The file.
        account: The name of the account, for a first column `account` (default None: no such column).
        item: The class of what is written (default: chats).
        dialect: That of CSV (default "rfc4180").
        options: Those of `AtomicFile`.

    Raises:
        MissingExtraError: The library that the format needs is not installed.
        OutputError: The file can't be created.
    """
    match file_format:
        case "jsonl":
            return LineWriter(path, partial(to_json, item=item), "", account, **options)
        case "csv":
            header = csv_header(item, account=account is not None, dialect=dialect) + "\n"
            return LineWriter(path, partial(to_csv, dialect=dialect, item=item), header, account, **options)
        case "parquet":
            require_library("parquet")
            from plugchat_async.export.parquet import ParquetChatWriter  # noqa: PLC0415 - needs the extra

            return ParquetChatWriter(path, account, item, **options)
        case "xlsx":
            require_library("xlsx")
            from plugchat_async.export.xlsx import XlsxChatWriter  # noqa: PLC0415 - needs the extra

            return XlsxChatWriter(path, account, item, **options)


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
        if file.suffix == ".xlsx":
            from plugchat_async.export.xlsx import has_rows as has_sheet_rows  # noqa: PLC0415 - needs the extra

            return has_sheet_rows(file)
        with file.open("rb") as lines:
            if file.suffix == ".csv":
                lines.readline()  # the header
            return any(not line.isspace() for line in lines)
    except (OSError, ImportError):
        return True


def check_not_compressed(file: Path) -> None:
    """Raise InvalidValueError if a file's name says that it is compressed: other programs would believe that."""
    if file.suffix.lower() in _COMPRESSED:
        raise InvalidValueError(
            f"files are not compressed, but the name {file.name} says so",
            f"Write {file.stem}, and compress that, or write Parquet, which is compressed.",
        )


def require_library(file_format: FileFormat) -> None:
    """Raise MissingExtraError if the library that a format needs is not installed."""
    if file_format == "parquet":
        with needing("parquet", "Parquet"):
            import_module("pyarrow")
    elif file_format == "xlsx":
        with needing("xlsx", "xlsx"):
            import_module("xlsxwriter")


async def write_jsonl(chats: Items, file: PathLike, *, item: type[Any] = Chat) -> int:
    """Write chats, or items of another list, to a file, as a JSON object on each line.

        await write_jsonl(plugchat.iter_chats(), "chats.jsonl")
        await write_jsonl(plugchat.iter_contacts(), "contacts.jsonl", item=Contact)

    Args:
        chats: An iterable or async iterable of Chat, or of `item`. Only some of them are in memory at a time. A
            generator or a ChatWalk is closed at the end.
        file: The file. It appears, or replaces an earlier one, when all chats are written.
        item: The class of the items (default Chat).

    Returns:
        The number of chats.

    Raises:
        OutputError: The file can't be written. After an error, of `chats` too, an earlier file is left as it was.
        InvalidValueError: The name ends in that of a compression, such as `.gz`: files are not compressed.
    """
    return await _write(chats, "jsonl", file, item)


@overload
def read_jsonl(path: PathLike) -> Generator[Chat, None, None]: ...


@overload
def read_jsonl(path: PathLike, *, item: type[T]) -> Generator[T, None, None]: ...


def read_jsonl(path: PathLike, *, item: type[Any] = Chat) -> Generator[Any, None, None]:
    """Yield the chats, or items of another list, of a file of JSON lines. They are equal to those that were written.

    Args:
        path: A file that `write_jsonl`, `export_many` or `plugchat chats -o` has written, in this version or an older
            one. The column `account` is ignored.
        item: The class of the items (default Chat).

    Raises:
        InvalidValueError: The file can't be read, or a line is not a chat; the message has the line's number.
    """
    check_item(item)
    path = Path(path)
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.isspace():
                    yield _read_line(line, path, number, item)
    except OSError as error:
        reason, hint = error.strerror, open_files_hint(error) or "Use a file of JSON lines."
    else:
        return
    raise InvalidValueError(f"can't read {path}: {reason}", hint)


def _read_line(line: bytes, path: Path, number: int, item: type[T]) -> T:
    try:
        return from_json(line, item)
    except InvalidValueError as error:
        error.message = f"line {number} of {path}: {error.message}"
        raise


async def write_csv(chats: Items, file: PathLike, *, dialect: CsvDialect = "rfc4180", item: type[Any] = Chat) -> int:
    """Write chats to a file as CSV with a header line, as `write_jsonl` does.

    Args:
        chats: As for `write_jsonl`.
        file: The file.
        dialect: "rfc4180" (default): commas, for programs. "excel": for Excel where the comma is the decimal sign, as
            in Brazil: with a byte order mark, semicolons, times of spreadsheets in UTC, and phones as texts
            (`="5511…"`).
        item: The class of the items (default Chat).
    """
    check_choice("dialect", dialect, get_args(CsvDialect))
    return await _write(chats, "csv", file, item, dialect)


async def write_xlsx(chats: Items, file: PathLike, *, item: type[Any] = Chat) -> int:
    """Write chats to a workbook for spreadsheets (.xlsx), as `write_jsonl` does.

    It has one sheet. Texts are texts, also phones, links and what looks like a formula. Times are those of
    spreadsheets, in UTC and whole seconds. Rows wait in a temporary file until the workbook is complete.

    Raises:
        MissingExtraError: The extra `xlsx` is not installed.
        InvalidValueError: There are more than 1,048,575 chats, or a text has more than 32,767 characters.
    """
    return await _write(chats, "xlsx", file, item)


async def write_parquet(chats: Items, file: PathLike, *, item: type[Any] = Chat) -> int:
    """Write chats to a file as Parquet, as `write_jsonl` does.

    Row groups of 16,384 chats are compressed with zstd, and written as they fill.

    Raises:
        MissingExtraError: The extra `parquet` is not installed.
        InvalidValueError: A number has more than 64 bits.
    """
    return await _write(chats, "parquet", file, item)


async def _write(
    chats: Items, file_format: FileFormat, file: PathLike, item: type[Any], dialect: CsvDialect = "rfc4180"
) -> int:
    check_item(item)
    check_not_compressed(Path(file))
    source: Source[AttrsInstance] = Source("chats", chats, item, hint=item_hint)
    threads = Threads(1)
    try:
        async with threads.entered(lambda: _discarded(file_format, Path(file), item, dialect)) as writer:
            batch: list[AttrsInstance] = []
            while (chat := await source.next()) is not None:
                batch.append(chat)
                if len(batch) == _BATCH:
                    await threads.run(writer.write, batch)
                    batch.clear()
            await threads.run(writer.write, batch)
            await threads.run(writer.commit)
    finally:
        threads.close()
        await close_chats(chats)
    return writer.rows


async def close_chats(chats: Items) -> None:
    """Close a generator or a walk that is not needed any more."""
    if isinstance(chats, AsyncGenerator | ChatWalk):
        await chats.aclose()
    elif isinstance(chats, Generator):
        chats.close()


@contextmanager
def _discarded(
    file_format: FileFormat, path: Path, item: type[Any], dialect: CsvDialect
) -> Generator[ChatWriter, None, None]:
    """Start a file, and discard it at the end, unless it has been committed."""
    writer = open_writer(file_format, path, None, item, dialect=dialect)
    try:
        yield writer
    finally:
        writer.discard()
