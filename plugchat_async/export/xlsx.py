"""Chats as a workbook for spreadsheets (.xlsx), with XlsxWriter."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# Its types are incomplete.

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Unpack
from zipfile import BadZipFile, ZipFile

from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxWriterException

from plugchat_async._internal.files import UNICODE_HINT, AtomicFile, FileOptions, output_errors
from plugchat_async._items import columns_of, getter_of, naive_utc, noun_of
from plugchat_async.errors import InvalidValueError
from plugchat_async.export.csv_and_json import ACCOUNT, MAX_CELL_NUMBER
from plugchat_async.models import Chat

# The limits of Excel: rows of a sheet, UTF-16 units of its name and of a text, its first whole year.
_MAX_ROWS: Final = 1_048_576
_MAX_NAME: Final = 30  # and the plural's "s"
_MAX_TEXT: Final = 32_767
_FIRST_YEAR: Final = 1901

_SHEET: Final = "xl/worksheets/sheet1.xml"
# What begins the first row that is not the header.
_SECOND_ROW: Final = b'<row r="2"'
_TIME_FORMAT: Final = "yyyy-mm-dd hh:mm:ss"
_WIDTH: Final = 20  # characters: a phone, a group's id, a time
_HINT: Final = "Leave that row out, or write csv, jsonl or parquet instead."


class XlsxChatWriter:
    """A workbook that is being written, with one sheet. Its rows are in a temporary file, and not in memory.

    Texts are texts, whatever they look like: no formulas, links or numbers. Times are those of spreadsheets, in UTC and
    whole seconds.

    Attributes:
        path: The file.
        rows: The number of chats so far.
    """

    def __init__(self, path: Path, account: str | None, item: Any = Chat, **options: Unpack[FileOptions]) -> None:
        self.path = path
        self.rows = 0
        self._account = account
        self._values_of = getter_of(item)
        self._noun = f"{noun_of(item)[:_MAX_NAME]}s"
        self._output = AtomicFile(path, **options)
        self._zipped: Any = _Output(self._output)
        self._folder: TemporaryDirectory[str] | None = None
        self._sheet: Any = None
        try:
            with output_errors(path):
                self._folder = TemporaryDirectory(prefix="plugchat-")  # only its owner may read it
                settings = {"constant_memory": True, "tmpdir": self._folder.name}
                self._book: Any = Workbook(self._zipped, settings)
                self._sheet = self._book.add_worksheet(self._noun)
                self._time_format = self._book.add_format({"num_format": _TIME_FORMAT})
                columns = columns_of(item) if account is None else (ACCOUNT, *columns_of(item))
                self._sheet.freeze_panes(1, 0)
                self._sheet.set_column(0, len(columns) - 1, _WIDTH)
                self._write_row(0, columns)
        except BaseException:
            self.discard()
            raise

    def write(self, chats: Sequence[Any]) -> None:
        """Write some chats."""
        if self.rows + len(chats) >= _MAX_ROWS:
            raise InvalidValueError(
                f"a sheet has room for {_MAX_ROWS - 1:,} {self._noun}", "Write csv or parquet instead."
            )
        with output_errors(self.path):
            for row, chat in enumerate(chats, self.rows + 1):
                values = self._values_of(chat)
                self._write_row(row, values if self._account is None else (self._account, *values))
        self.rows += len(chats)

    def _write_row(self, row: int, values: Sequence[object]) -> None:
        for column, value in enumerate(values):
            match value:
                case None:
                    pass
                case bool():
                    self._sheet.write_boolean(row, column, value)
                case int() if abs(value) < MAX_CELL_NUMBER:
                    self._sheet.write_number(row, column, value)
                case datetime() if value.year >= _FIRST_YEAR:
                    self._sheet.write_datetime(row, column, naive_utc(value).replace(microsecond=0), self._time_format)
                case datetime():
                    self._sheet.write_string(row, column, naive_utc(value).isoformat(" ", "seconds"))
                case _:
                    self._sheet.write_string(row, column, _checked(str(value)))

    def commit(self) -> None:
        """Make the complete file appear."""
        try:
            with output_errors(self.path):
                try:
                    self._book.close()
                except XlsxWriterException as error:  # it hides the reason
                    reason = error.args[0] if error.args else error
                    raise (reason if isinstance(reason, OSError) else OSError(str(error))) from None
            self._output.commit()
        finally:
            self.discard()

    def discard(self) -> None:
        """Delete what has been written."""
        self._zipped.is_open = False
        if self._sheet is not None:
            with suppress(OSError):  # what can't be flushed is not needed
                self._sheet.row_data_fh.close()
        if self._folder is not None:
            with suppress(OSError):
                self._folder.cleanup()
        self._output.discard()


class _Output:
    """What XlsxWriter writes to. What comes after the end goes nowhere: a zip file that is dropped writes its end."""

    def __init__(self, output: AtomicFile) -> None:
        self._file = output.file
        self._place = 0  # after the end
        self.is_open = True

    def write(self, data: bytes) -> int:
        self._place += len(data)
        return self._file.write(data) if self.is_open else len(data)

    def seek(self, place: int) -> int:
        self._place = place
        return self._file.seek(place) if self.is_open else place

    def tell(self) -> int:
        return self._file.tell() if self.is_open else self._place

    def flush(self) -> None:
        if self.is_open:
            self._file.flush()


def _checked(text: str) -> str:
    problem, hint = "", _HINT
    try:
        if len(text.encode("utf-16-le")) > 2 * _MAX_TEXT:
            problem = f"a cell has room for {_MAX_TEXT:,} characters, and a text has more"
    except UnicodeEncodeError:
        problem, hint = "a text is not valid Unicode: it holds half of a surrogate pair", UNICODE_HINT
    if problem:
        raise InvalidValueError(problem, hint)
    return text


def has_rows(file: Path) -> bool:
    """Return whether a file has chats. A damaged file may have some."""
    try:
        with ZipFile(file) as book, book.open(_SHEET) as sheet:
            return _SECOND_ROW in sheet.read(1 << 16)  # the header has much less
    except (BadZipFile, KeyError):
        return True
