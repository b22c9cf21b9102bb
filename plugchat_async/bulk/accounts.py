"""Accounts: what is needed to fetch one, and files that list many."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from plugchat_async._http.token import TokenFunction, token_problem
from plugchat_async._http.urls import parse_base_url
from plugchat_async.bulk.names import name_key
from plugchat_async.errors import InvalidValueError, PlugChatError

_HINT: Final = (
    "Give a CSV file in UTF-8 whose first line names its columns: name, and token or token_env (the name of an "
    "environment variable that holds it), and base_url where it is not the same for all."
)
_PROBLEMS_SHOWN: Final = 10


@frozen
class Account:
    """One account of many.

    name: what you call it. token: its raw token, or a function that gives the newest one, as `PlugChatSession` takes
    it; `repr` leaves it out (pickles hold it). base_url: where it is, if not where the others are (default None).
    """

    name: str
    token: str | TokenFunction = field(repr=False)
    base_url: str | None = None


def read_accounts(file: str | os.PathLike[str]) -> list[Account]:
    """Read a CSV file of accounts, and check it all.

    Its first line names its columns, in any order: `name`, `token` and `base_url`, and `token_env` for environment
    variables that hold the tokens. Other columns are not read. Commas, semicolons or tabs separate them.

    InvalidValueError says what is wrong, and in which lines; of their values only names are shown.
    """
    path = Path(file)
    reader = _Reader(os.environ)
    trouble = ""
    # Not raised where the lines are read: tracebacks may show what these frames hold.
    try:
        data = path.read_bytes()
        reader.read(data.decode("utf-8-sig"))
    except OSError as error:
        trouble = f"can't read it: {error.strerror}"
    except UnicodeDecodeError as error:
        trouble = f"line {error.object[: error.start].count(bytes([10])) + 1}: it is not in UTF-8"
    except ValueError:
        trouble = "that is no path"
    data = b""
    problems = [trouble] if trouble else reader.problems
    if not problems and not reader.accounts:
        problems = ["there are no accounts in it"]
    if problems:
        more = len(problems) - _PROBLEMS_SHOWN
        shown = "; ".join(problems[:_PROBLEMS_SHOWN])
        raise InvalidValueError(f"{path}: {shown}{f'; and {more} more' if more > 0 else ''}", _HINT)
    return reader.accounts


@define
class _Reader:
    """Reads the lines, and notes what is wrong with them."""

    _environment: Mapping[str, str] = field(repr=False)
    accounts: list[Account] = field(factory=list[Account], init=False)
    problems: list[str] = field(factory=list[str], init=False)
    _lines_of: dict[str, int] = field(factory=dict[str, int], init=False)

    def read(self, text: str) -> None:
        """Read the heading, then a record an account. Empty lines are none."""
        lines = io.StringIO(text, newline="")
        heading = lines.readline()
        # Spreadsheets write semicolons where the comma is for decimals.
        delimiter = max(",;\t", key=heading.count)
        line = 1
        try:
            [cells] = csv.reader([heading or "\n"], delimiter=delimiter)
            columns = [name.strip().lower() for name in cells]
            trouble = _wrong_with(columns)
            if trouble:
                self.problems.append(f"line 1 {trouble}")
                return
            rows = csv.reader(lines, delimiter=delimiter, strict=True)
            line = 2
            for record in rows:
                if any(cell.strip() for cell in record):
                    self._note(line, columns, record)
                line = 2 + rows.line_num  # where the next one begins
        except csv.Error as error:
            self.problems.append(f"line {line}: it is not CSV: {error}")

    def _note(self, line: int, columns: list[str], record: list[str]) -> None:
        if len(record) == len(columns):
            problem = self._add(line, dict(zip(columns, (cell.strip() for cell in record), strict=True)))
        else:
            problem = f"it has {len(record)} cells, but there are {len(columns)} columns"
        if problem:
            self.problems.append(f"line {line}: {problem}")

    def _add(self, line: int, row: dict[str, str]) -> str:
        """Add a line's account, or say what is wrong with it."""
        name, base_url = row["name"], row.get("base_url") or None
        token, trouble = self._token_of(row)
        before = self._lines_of.setdefault(name_key(name), line) if name else line
        parsed = None if base_url is None else parse_base_url(base_url)
        if not name:
            return "it has no name"
        if before != line:
            return f"{name!r} is in line {before}, too"
        if trouble:
            return f"{name!r}: {trouble}"
        if isinstance(parsed, PlugChatError):
            return f"{name!r}: {parsed.message}"
        self.accounts.append(Account(name, token, base_url))
        return ""

    def _token_of(self, row: dict[str, str]) -> tuple[str, str]:
        """Give a line's token, and what is wrong with it, or ""."""
        token, variable = row.get("token", ""), row.get("token_env", "")
        if bool(token) == bool(variable):
            return "", "there are a token and a token_env" if token else "there is no token"
        if variable:
            token = self._environment.get(variable, "")
            if not token:
                # Not shown: it may be the token itself.
                return "", "the environment variable that its token_env names is not set"
        problem = token_problem(token)
        return token, "" if problem is None else problem.message


def _wrong_with(columns: list[str]) -> str:
    """Say what is wrong with a heading. It is not shown: the first line may well be an account."""
    if "name" not in columns or not {"token", "token_env"} & set(columns):
        return "does not name the columns name, and token or token_env"
    return "names a column twice" if any(columns.count(name) > 1 for name in columns if name) else ""
