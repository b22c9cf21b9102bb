"""Accounts, and CSV files that list them."""

import csv
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from attrs import define, field, frozen

from plugchat_async._http.secret import SecretText
from plugchat_async._http.token import TokenFunction, token_problem
from plugchat_async._http.urls import UrlText, parse_base_url, plain_url
from plugchat_async.bulk.names import name_key
from plugchat_async.errors import InvalidValueError, PlugChatError

if TYPE_CHECKING:
    from yarl import URL

_HINT: Final = (
    "Use a CSV file in UTF-8. Its first line names the columns: name, token or token_env (the name of an environment "
    "variable with the token), and optionally base_url."
)
# A name that no token looks like: words of capitals, with an underscore.
_VARIABLE: Final = re.compile(r"(?=.{3,64}\Z)[A-Z]{2,20}[0-9]{0,4}(?:_(?:[A-Z]{1,20}[0-9]{0,4}|[0-9]{1,4}))+")
_PROBLEMS_SHOWN: Final = 10


def _url_text(url: "str | URL | UrlText | None") -> str | None:
    return cast("str | None", plain_url(url))  # checked when the account is fetched


def _shown(base_url: str | None) -> str:
    """Return the repr of a base URL. One with a password is refused, but later."""
    return "***" if "@" in str(base_url) else repr(base_url)


@frozen
class Account:
    """One account of many.

    Attributes:
        name: The name that you give it.
        token: Its raw token, or a function that returns it, as for `PlugChatSession`. It is not in the `repr`, but in
            pickles.
        base_url: Its base URL (default None: that of the other accounts).
    """

    name: str
    token: str | SecretText | TokenFunction = field(repr=False)
    base_url: str | None = field(default=None, converter=_url_text, repr=_shown)


def read_accounts(file: str | os.PathLike[str], *, insecure_http: bool = False) -> list[Account]:
    """Read accounts from a CSV file.

    The first line names the columns, in any order: `name`, `token` and `base_url`, and `token_env` for environment
    variables that hold the tokens. Other columns are ignored. Commas, semicolons or tabs separate the cells.

    Args:
        file: The file.
        insecure_http: Whether a base URL may be http on hosts other than loopback, as for `fetch_many` (default False).

    Raises:
        InvalidValueError: The file is not valid. The message lists the problems with the numbers of their lines. It
            shows names, but no other values.
    """
    path = Path(file)
    reader = _Reader(os.environ, insecure_http)
    problem = ""
    # Raised here and not while reading: tracebacks can show the values in those frames.
    try:
        data = path.read_bytes()
        reader.read(data.decode("utf-8-sig"))
    except OSError as error:
        problem = f"can't read the file: {error.strerror}"
    except UnicodeDecodeError as error:
        problem = f"line {error.object[: error.start].count(bytes([10])) + 1}: not UTF-8"
    except ValueError:
        problem = "not a valid path"
    data = b""
    problems = [problem] if problem else reader.problems
    if not problems and not reader.accounts:
        problems = ["the file has no accounts"]
    if problems:
        more = len(problems) - _PROBLEMS_SHOWN
        shown = "; ".join(problems[:_PROBLEMS_SHOWN])
        raise InvalidValueError(f"{path}: {shown}{f'; and {more} more' if more > 0 else ''}", _HINT)
    return reader.accounts


@define
class _Reader:
    """Reads the lines, and collects their problems."""

    _environment: Mapping[str, str] = field(repr=False)
    _insecure_http: bool
    accounts: list[Account] = field(factory=list[Account], init=False)
    problems: list[str] = field(factory=list[str], init=False)
    _lines_by_name: dict[str, int] = field(factory=dict[str, int], init=False)

    def read(self, text: str) -> None:
        """Read the header line, then an account from each record. Empty lines are skipped."""
        lines = io.StringIO(text, newline="")
        header = lines.readline()
        # Spreadsheets write semicolons in countries where the comma is for decimals.
        delimiter = max(",;\t", key=header.count)
        line = 1
        try:
            [cells] = csv.reader([header or "\n"], delimiter=delimiter)
            columns = [name.strip().lower() for name in cells]
            problem = _header_problem(columns)
            if problem:
                self.problems.append(f"line 1 {problem}")
                return
            rows = csv.reader(lines, delimiter=delimiter, strict=True)
            line = 2
            for record in rows:
                if any(cell.strip() for cell in record):
                    self._read_record(line, columns, record)
                line = 2 + rows.line_num  # where the next record begins
        except csv.Error as error:
            self.problems.append(f"line {line}: not valid CSV: {error}")

    def _read_record(self, line: int, columns: list[str], record: list[str]) -> None:
        if len(record) == len(columns):
            problem = self._add(line, dict(zip(columns, (cell.strip() for cell in record), strict=True)))
        else:
            problem = f"expected {len(columns)} cells, found {len(record)}"
        if problem:
            self.problems.append(f"line {line}: {problem}")

    def _add(self, line: int, row: dict[str, str]) -> str:
        """Add the account of a line. Return its problem, or ""."""
        name, base_url = row["name"], row.get("base_url") or None
        token, problem = self._token_of(row)
        before = self._lines_by_name.setdefault(name_key(name), line) if name else line
        parsed = None if base_url is None else parse_base_url(base_url, insecure_http=self._insecure_http)
        if not name:
            return "no name"
        if before != line:
            return f"{name!r} is also in line {before}"
        if problem:
            return f"{name!r}: {problem}"
        if isinstance(parsed, PlugChatError):
            return f"{name!r}: {parsed.message}"
        self.accounts.append(Account(name, token, base_url))
        return ""

    def _token_of(self, row: dict[str, str]) -> tuple[str, str]:
        """Return the token of a line, and its problem, or ""."""
        token, variable = row.get("token", ""), row.get("token_env", "")
        if bool(token) == bool(variable):
            return "", "both token and token_env" if token else "no token"
        if variable:
            token = self._environment.get(variable, "")
            if not token:
                # Other names are not shown: someone may have put the token itself there.
                shown = f"{variable} of token_env" if _VARIABLE.fullmatch(variable) else "in token_env"
                state = "empty" if variable in self._environment else "not set"
                return "", f"the environment variable {shown} is {state}"
        problem = token_problem(token)
        return token, "" if problem is None else problem.message


def _header_problem(columns: list[str]) -> str:
    """Return the problem of a header, or "". The header is not shown: it may be an account."""
    if "name" not in columns or not {"token", "token_env"} & set(columns):
        return "does not name the columns name and token (or token_env)"
    return "names a column twice" if any(columns.count(name) > 1 for name in columns if name) else ""
