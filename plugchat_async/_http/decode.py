"""The body of a page, decoded: its items (chats, or those of another call), and the values that could not be read.

The rules for values are the converter's. Two things are decided here. A value that can't be read costs only itself or,
if it is to be raised, the page. And a page is read in steps: the caller may run other tasks in between, so that a
large page does not block the event loop.
"""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from typing import Any, Final, Literal, TypedDict, cast

import attrs
import msgspec
from cattrs import ClassValidationError, Converter
from msgspec import Raw, Struct

from plugchat_async._error_details import Problem
from plugchat_async._http.decode_fast import FastLane, RefusedError, fast_lane
from plugchat_async._http.decode_values import MalformedValueError, wire_name
from plugchat_async._http.response import excerpt, one_line
from plugchat_async._http.secret import Secret
from plugchat_async._internal.lenient_json import REFUSALS, is_cut, split_array, value_of
from plugchat_async.errors import DecodeError, NotAListError, NotJSONError, ResponseError

OnBadValue = Literal["warn", "raise"]

# A page is read in slices of a few hundred chats, each a third of a millisecond; row by row in smaller ones.
_SLICE_BYTES: Final = 96 * 1024
_SLICE_ROWS: Final = 128
# Rows that are read together, until one of them has an unusual spelling: a single row takes three times as long.
_RUN_ROWS: Final = 16
# How many cuts one after the other may miss the end of a chat before the page is read row by row.
_MAX_MISSES: Final = 16
# Between two objects of an array, or in a string that looks like it.
_BETWEEN: Final = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*\{")

# A bad value's share of an error message, and how much of it is looked at for that.
_VALUE_CHARS: Final = 60
_SHOWN_BYTES: Final = 512
# How many problems of a page are kept. Each takes some 20 µs, and a small body may hold a million of them.
MAX_PROBLEMS: Final = 1000

_EXPECTED: Final = "a text"


class Decoded(Struct, frozen=True):
    """The rows of a page.

    Attributes:
        items: The rows that could be read, in order.
        unreadable: A digest of each other row, which identifies it.
        problems: The first thousand values that could not be read.
        problem_count: How many there were in all.
    """

    items: tuple[Any, ...]
    unreadable: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0


def decode(steps: Generator[None, None, Decoded | ResponseError], problems: list[Problem] | None) -> tuple[Any, ...]:
    """Return the items of a page at once, see `WireConverter.loads`. `steps`: the generator of `decode_slices`."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            decoded: Decoded | ResponseError = end.value
            break
    if isinstance(decoded, ResponseError):
        raise decoded
    if problems is not None:
        problems += decoded.problems
    return decoded.items


def decode_slices(
    body: bytes, token: Secret, item: Any, on_bad_value: OnBadValue, using: Converter, *, accelerated: bool
) -> Generator[None, None, Decoded | ResponseError]:
    """Read the body of a page, and pause after every few hundred microseconds.

    Errors are returned instead of raised: no traceback then holds the body.

    Args:
        body: The body, decoded from its content encoding.
        token: The token to take out of excerpts.
        item: The attrs class of the rows. It has a `phone`, which identifies it (and a `lid` if the phone may be
            None), and, to be walked, a `last_message_time`.
        on_bad_value: "warn" reports a value that can't be read, and uses the field's default; "raise" makes it an
            error.
        using: The converter.
        accelerated: Whether the fast lane may be used: only if it returns what the converter would return.

    Returns:
        The rows; or NotJSONError, NotAListError, or DecodeError with a problem for each value that can't be read.

    """
    lane = fast_lane(item) if accelerated else None
    if lane is not None:
        with suppress(RefusedError):
            return Decoded((yield from _read_fast(body, lane)))
    try:
        rows = split_array(body)
    except REFUSALS as cause:
        return _error_of(cause, body, token)
    return (yield from _read_rows(rows, _RowReader(using, item, token), lane, on_bad_value))


def _read_fast(body: bytes, lane: FastLane) -> Generator[None, None, tuple[Any, ...]]:
    """Read a page in the fast lane, a slice at a time."""
    if len(body) <= 2 * _SLICE_BYTES:
        return tuple(lane.read(body))
    items: list[Any] = []
    opening, start = b"", 0
    place, misses = _SLICE_BYTES, 0
    while cut := _BETWEEN.search(body, place):
        try:
            items += lane.read(b"%b%b]" % (opening, body[start : cut.start() + 1]))
        except RefusedError:
            # If the cut is within a string, or between objects of one chat, the slice is not valid. So a slice that
            # can be read ends between two chats, and the next one begins there.
            misses += 1
            if misses > _MAX_MISSES:
                raise
            place = cut.end()
        else:
            opening, start = b"[", cut.end() - 1
            place, misses = start + _SLICE_BYTES, 0
        yield
    items += lane.read(opening + body[start:])
    return tuple(items)


def _read_rows(
    rows: list[Raw], reader: "_RowReader", lane: FastLane | None, on_bad_value: OnBadValue
) -> Generator[None, None, Decoded | DecodeError]:
    """Read a page row by row: most rows have the usual spelling, even if one of them has not."""
    items: list[Any] = []
    run: list[Any] | None = None
    problems: list[Problem] = []
    unreadable: list[str] = []
    count = 0
    for index, row in enumerate(rows):
        if index and not index % _SLICE_ROWS:
            yield
        if lane is not None:
            if not index % _RUN_ROWS:
                run = _read_run(rows[index : index + _RUN_ROWS], lane)
            with suppress(RefusedError):
                items.append(lane.read_row(row) if run is None else run[index % _RUN_ROWS])
                continue
        item, found = reader.read(bytes(row), index)
        if item is None:
            unreadable.append(_digest_of(row))
        else:
            items.append(item)
        count += len(found)
        problems += found[: MAX_PROBLEMS - len(problems)]
        if 2 * len(unreadable) > len(rows) or (on_bad_value == "raise" and count >= MAX_PROBLEMS):
            break  # it is an error in any case
    if 2 * len(unreadable) > len(rows):
        ids = f"at least {len(unreadable)} have neither a phone nor a lid"
        message = f"not a page of chats: of {len(rows)} rows, {ids}"
        return DecodeError(message, problems=tuple(problems))
    if problems and on_bad_value == "raise":
        at_least = "at least " if count >= MAX_PROBLEMS else ""
        message = f"{at_least}{count} value{'' if count == 1 else 's'} can't be read"
        return DecodeError(message, problems=tuple(problems))
    return Decoded(tuple(items), tuple(unreadable), tuple(problems), count)


def _digest_of(row: Raw) -> str:
    # No key of a chat begins like that. The digest is the same in another process, as checkpoints need it.
    return f"\0{blake2b(bytes(row), digest_size=8).hexdigest()}"


def _read_run(rows: list[Raw], lane: FastLane) -> list[Any] | None:
    """Read some rows in the fast lane, or return None."""
    try:
        return lane.read(b"[%b]" % b",".join(rows))
    except RefusedError:
        return None


class _RowReader:
    """Reads single rows with a converter, and reports the values that can't be read."""

    def __init__(self, using: Converter, item: Any, token: Secret) -> None:
        # Without it cattrs stops at the first value that can't be read, and does not name it.
        detailed = using if using.detailed_validation else using.copy(detailed_validation=True)
        self._structure = detailed.get_structure_hook(item)
        self._item = item
        self._token = token
        self._decode_values, self._decode_raws = _row_decoders(item)

    def read(self, row: bytes, index: int) -> tuple[Any, list[Problem]]:
        """Return the item of a row, or None if it can't be read, and its problems."""
        try:
            values = self._values(row)
        except REFUSALS:
            return None, [Problem(index, "", "an object", _shown(row, self._token))]
        problems: list[Problem] = []
        unread: set[str] = set()
        while True:
            try:
                return self._structure(values, self._item), problems
            except MalformedValueError as error:
                return None, [*problems, Problem(index, "", error.expected, "neither")]
            except ClassValidationError as group:
                causes = {wire_name(name): cause for name, cause in _causes(group)}
                if not causes:  # the class itself refuses the values, as by a validator
                    return None, [
                        *problems,
                        Problem(index, "", "values that the class takes", _shown(row, self._token)),
                    ]
                raws = self._decode_raws(row)
                for key, cause in causes.items():
                    if key not in unread:
                        got = _shown(bytes(raws[key]), self._token) if key in raws else "nothing"
                        problems.append(Problem(index, key, _expected(cause), got))
                if causes.keys() & unread or not causes.keys() <= raws.keys():
                    return None, problems  # a field without a default
                # The row is read again without the values that can't be read.
                unread |= causes.keys()
                for key in causes:
                    del values[key]

    def _values(self, row: bytes) -> dict[str, Any]:
        """Return the row's values by their keys. Unknown keys are left out."""
        try:
            return self._decode_values(row)
        except REFUSALS:  # because of one value: read the others
            return {key: value_of(bytes(raw)) for key, raw in self._decode_raws(row).items()}


@cache
def _row_decoders(item: Any) -> tuple[Callable[[bytes], dict[str, Any]], Callable[[bytes], dict[str, Raw]]]:
    """Return two decoders of a row: into its values, and into the bytes of its values.

    Both read only known keys: there may be a hundred thousand others.
    """
    keys = [wire_name(a.name) for a in attrs.fields(item)]
    typed_dict: Any = TypedDict  # with keys that no type checker can know
    values, raws = (typed_dict("_Row", dict.fromkeys(keys, of), total=False) for of in (Any, Raw))
    return msgspec.json.Decoder(values).decode, msgspec.json.Decoder(raws).decode


def _causes(group: ClassValidationError) -> Iterator[tuple[str, Exception]]:
    """Return the names of the fields that can't be read, each with its error."""
    for error, note in group.group_exceptions()[0]:
        yield cast("Any", note).name, error


def _expected(error: Exception) -> str:
    # cattrs raises a KeyError for a field that must be there.
    return error.expected if isinstance(error, MalformedValueError) else _EXPECTED


def _error_of(cause: Exception, body: bytes, token: Secret) -> ResponseError:
    """Return the error of a body that is not an array of rows."""
    match cause:
        case RecursionError():
            return NotJSONError(
                f"the body is nested too deeply: {excerpt(body, token)}",
                "A value with a thousand nested arrays or objects can't be read: check base_url.",
            )
        case msgspec.ValidationError():
            return NotAListError(f"the body is not a JSON array: {excerpt(body, token)}")
        case _ if is_cut(body):
            message = f"the JSON ends in the middle, after {len(body)} bytes"
            return NotJSONError(message, "The response was cut off: try again later.", truncated=True)
        case _:
            return NotJSONError(f"the body is not JSON: {excerpt(body, token)}")


def _shown(raw: bytes, token: Secret) -> str:
    """Return a JSON value for an error message: strings as Python writes them, others as they came."""
    text = raw[:_SHOWN_BYTES].decode("utf-8", "replace")
    if raw.startswith(b'"') and len(raw) <= _SHOWN_BYTES:
        with suppress(*REFUSALS):
            # Redacted first: Python's own escapes may hide the token.
            text = repr(token.redact(msgspec.json.decode(raw, type=str)))
    return one_line(text, token, _VALUE_CHARS)
