"""The body of a page, decoded: its items (chats, or those of another call), and the values that could not be read.

The rules for values are the converter's. Two things are decided here. A value that can't be read costs only itself or,
if it is to be raised, the page. And a page is read in steps: the caller may run other tasks in between, so that a
large page does not block the event loop.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import datetime
from functools import cache
from hashlib import blake2b
from typing import Any, Final, Literal, TypedDict, cast

import attrs
import msgspec
from cattrs import ClassValidationError, Converter
from msgspec import Raw, Struct

from plugchat_async._error_details import Problem
from plugchat_async._http.decode_fast import FastLane, fast_lane
from plugchat_async._http.decode_values import ID_FIELDS, MalformedValueError, wire_name
from plugchat_async._http.response import excerpt, one_line
from plugchat_async._http.secret import Secret
from plugchat_async._internal.json_slices import CutError, RefusedError, TooLargeError, read_slices, split_slices
from plugchat_async._internal.lenient_json import REFUSALS, value_of
from plugchat_async._items import noun_of
from plugchat_async.errors import DecodeError, NotAListError, NotJSONError, ResponseError, ResponseTooLargeError

OnBadValue = Literal["warn", "raise"]

# A page is read in slices of some two hundred chats, each a fifth of a millisecond; row by row in smaller ones. The
# worst slice, of nothing but {}, takes five milliseconds, and up to two of them are read at once.
_SLICE_BYTES: Final = 48 * 1024
# Rows that are read together, until one of them has an unusual spelling: a single row takes three times as long.
_RUN_ROWS: Final = 16
# Row by row, a slice ends when it has cost so much: 1 for a row, for each value that can't be read, and for so many
# bytes. Each takes up to 40 µs. A shorter slice costs nothing more.
_SLICE_COST: Final = 48
_COST_BYTES: Final = 4096

# A bad value's share of an error message, and how much of it is looked at for that.
_VALUE_CHARS: Final = 60
_SHOWN_BYTES: Final = 512
# How many problems of a page are kept. Each takes some 20 µs, and a small body may hold a million of them.
MAX_PROBLEMS: Final = 1000
# A page with more than these is an error even where they are only reported: it would take many seconds.
_MAX_BAD_VALUES: Final = 100_000

# What is expected where a field is not there that must be.
_EXPECTED: Final[dict[Any, str]] = {str: "a text", int: "a count", bool: "true or false", datetime: "a time"}


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


def decode(
    steps: Generator[None, None, Decoded | ResponseError], problems: list[Problem] | None
) -> Generator[None, None, tuple[Any, ...]]:
    """Return the items of a page, see `WireConverter.loads`. `steps`: the generator of `decode_slices`."""
    decoded = yield from steps
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
    try:
        if lane is not None:
            with suppress(RefusedError):
                return Decoded(tuple((yield from read_slices(body, lane.read, _SLICE_BYTES))))
        rows = yield from split_slices(body)
    except (*REFUSALS, TooLargeError) as cause:
        return _error_of(cause, body, token)
    return (yield from _read_rows(rows, _RowReader(using, item, token), lane, on_bad_value))


def _read_rows(
    rows: list[bytes], reader: "_RowReader", lane: FastLane | None, on_bad_value: OnBadValue
) -> Generator[None, None, Decoded | DecodeError]:
    """Read a page row by row: most rows have the usual spelling, even if one of them has not."""
    items: list[Any] = []
    run: list[Any] | None = None
    problems: list[Problem] = []
    unreadable: list[str] = []
    count = cost = 0
    most_unreadable = len(rows) // 2
    most_bad = _MAX_BAD_VALUES if on_bad_value == "warn" else MAX_PROBLEMS - 1
    for index, row in enumerate(rows):
        cost += 1 + len(row) // _COST_BYTES
        if cost > _SLICE_COST:
            cost = 0
            yield
        if lane is not None:
            if not index % _RUN_ROWS:
                run = _read_run(rows[index : index + _RUN_ROWS], lane)
            with suppress(RefusedError):
                items.append(lane.read_row(row) if run is None else run[index % _RUN_ROWS])
                continue
        item, found = reader.read(row, index)
        if item is None:
            unreadable.append(_digest_of(row))
        else:
            items.append(item)
        count += len(found)
        cost += len(found)
        problems += found[: MAX_PROBLEMS - len(problems)]
        if len(unreadable) > MAX_PROBLEMS and 2 * len(unreadable) > index:
            most_unreadable = MAX_PROBLEMS  # a million more need not be read
        if len(unreadable) > most_unreadable or count > most_bad:
            break  # it is an error in any case
    if len(unreadable) > most_unreadable:
        message = f"not a page of {reader.noun}s: of {len(rows)} rows, at least {len(unreadable)} {reader.lack}"
    elif count > most_bad or (problems and on_bad_value == "raise"):
        at_least = "at least " if count > most_bad else ""
        message = f"{at_least}{count} value{'' if count == 1 else 's'} can't be read"
    else:
        return Decoded(tuple(items), tuple(unreadable), tuple(problems), count)
    return DecodeError(message, problems=tuple(problems))


def _digest_of(row: bytes) -> str:
    # No key of a chat begins like that. The digest is the same in another process, as checkpoints need it.
    return f"\0{blake2b(row, digest_size=8).hexdigest()}"


def _read_run(rows: list[bytes], lane: FastLane) -> list[Any] | None:
    """Read some rows in the fast lane, or return None."""
    joined = b",".join(rows)
    try:
        return lane.read(b"[%b]" % joined) if len(joined) <= _SLICE_BYTES else None
    except RefusedError:
        return None


class _RowReader:
    """Reads single rows with a converter, and reports the values that can't be read.

    Attributes:
        noun: What a row is, in words.
        lack: What is wrong with a row that can't be read.
    """

    def __init__(self, using: Converter, item: Any, token: Secret) -> None:
        # Without it cattrs stops at the first value that can't be read, and does not name it.
        detailed = using if using.detailed_validation else using.copy(detailed_validation=True)
        self._structure = detailed.get_structure_hook(item)
        self._item = item
        self.noun = noun_of(item)
        is_by_id = set(ID_FIELDS) <= attrs.fields_dict(item).keys()
        self.lack = "have neither a phone nor a lid" if is_by_id else "can't be read"
        self._token = token
        self._decode_values, self._decode_raws = _row_decoders(item)

    def read(self, row: bytes, index: int) -> tuple[Any, list[Problem]]:
        """Return the item of a row, or None if it can't be read, and its problems."""
        try:
            values = self._values(row)
        except REFUSALS:
            return None, [Problem(index, "", "an object", _shown(row, self._token), self.noun)]
        problems: list[Problem] = []
        unread: set[str] = set()
        while True:
            try:
                return self._structure(values, self._item), problems
            except MalformedValueError as error:
                return None, [*problems, Problem(index, "", error.expected, "neither", self.noun)]
            except ClassValidationError as group:
                causes = dict(_causes(group))
                if not causes:  # the class itself refuses the values, as by a validator
                    shown = _shown(row, self._token)
                    return None, [*problems, Problem(index, "", "values that the class takes", shown, self.noun)]
                raws = self._decode_raws(row)
                for key, expected in causes.items():
                    if key not in unread:
                        got = _shown(bytes(raws[key]), self._token) if key in raws else "nothing"
                        problems.append(Problem(index, key, expected, got, self.noun))
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


def _causes(group: ClassValidationError) -> Iterator[tuple[str, str]]:
    """Return the keys of the fields that can't be read, each with what is expected there."""
    for error, note in group.group_exceptions()[0]:
        member = cast("Any", note)
        # cattrs raises a KeyError for a field that must be there.
        expected = error.expected if isinstance(error, MalformedValueError) else _EXPECTED.get(member.type)
        yield wire_name(member.name), expected or f"a value of {member.type}"


def _error_of(cause: Exception, body: bytes, token: Secret) -> ResponseError:
    """Return the error of a body that is not an array of rows."""
    match cause:
        case RecursionError():
            return NotJSONError(
                f"the body is nested too deeply: {excerpt(body, token)}",
                "More than a thousand nested arrays or objects can't be read: check base_url.",
            )
        case msgspec.ValidationError():
            return NotAListError(f"the body is not a JSON array: {excerpt(body, token)}")
        case TooLargeError():
            return ResponseTooLargeError(
                f"the body has {cause.what} in {len(body):,} bytes",
                "That is no list of Plug Chat's: check base_url; if it is right, report the response to its support.",
            )
        case CutError():
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
