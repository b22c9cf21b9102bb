"""Checks of arguments, before any I/O. Each message has the name of the argument, its value, and what is allowed.

All checks raise InvalidTypeError or InvalidValueError.
"""

import inspect
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from plugchat_async.errors import InvalidTypeError, InvalidValueError

# More than any list has. Python refuses to print numbers of thousands of digits.
_MAX = 10**15


def check_int(name: str, value: object, *, minimum: int, maximum: int = _MAX) -> int:
    """Return `value` if it is an int from `minimum` to `maximum`. A bool is not: page_size=True is a mistake."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be an int, got {value!r}", "Pass an int.")
    if abs(value) > _MAX:
        raise InvalidValueError(f"{name} is out of range: it has {value.bit_length()} bits", f"Use {minimum} or more.")
    if value < minimum:
        raise InvalidValueError(f"{name} must be at least {minimum}, got {value!r}", f"Use {minimum} or more.")
    if value > maximum:
        raise InvalidValueError(f"{name} must be at most {maximum}, got {value!r}", f"Use {maximum} or less.")
    return value


def check_optional_int(name: str, value: object, *, minimum: int) -> int | None:
    """Return `value` if it is None or passes `check_int`."""
    return None if value is None else check_int(name, value, minimum=minimum)


def to_seconds(value: float | timedelta) -> float:
    """Return the seconds of a timedelta; anything else as it is, still to be checked."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def check_seconds(name: str, value: object, *, zero: bool) -> float:
    """Return `value` as a float if it is a finite number of seconds, above 0, or 0 if `zero` is allowed."""
    return check_number(name, value, zero=zero, unit=" of seconds")


def check_number(name: str, value: object, *, zero: bool = True, maximum: int = _MAX, unit: str = "") -> float:
    """Return `value` as a float if it is a number up to `maximum`, above 0, or 0 if `zero` is allowed."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be a number{unit}, got {value!r}", "Pass a float.")
    if not 0 <= value <= _MAX or (value == 0 and not zero):  # NaN is in no range
        got = value if isinstance(value, float) or abs(value) <= _MAX else f"{value.bit_length()} bits"
        raise InvalidValueError(
            f"{name} must be a finite number {'of at least' if zero else 'above'} 0, got {got}",
            f"Use a number{unit}.",
        )
    if value > maximum:
        raise InvalidValueError(f"{name} must be at most {maximum}, got {value}", f"Use {maximum} or less.")
    return float(value)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        allowed = " or ".join(repr(choice) for choice in choices)
        raise InvalidValueError(f"{name} must be {allowed}, got {value!r}", f"Use {allowed}.")


def check_type(name: str, value: object, wanted: type, *, optional: bool = False) -> None:
    """Raise unless `value` is of type `wanted`, or None if it is optional."""
    if not isinstance(value, wanted) and not (optional and value is None):
        kind = f"{wanted.__module__.partition('.')[0]}.{wanted.__name__}".removeprefix("builtins.").removeprefix(
            "collections."
        )
        raise InvalidTypeError(f"{name} must be of type {kind}, got {type(value).__name__}")


def check_options(names: Iterable[str], kind: Any) -> None:
    """Raise unless all names are options of a TypedDict. Not their values: a traceback could show a password."""
    for name in names:
        if name not in kind.__optional_keys__:
            from difflib import get_close_matches  # noqa: PLC0415 - 3 ms that most programs don't need

            known = sorted(kind.__optional_keys__)
            near = get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(known)}."
            raise InvalidTypeError(f"unexpected option {name!r}: it is none of {kind.__name__}", hint)


def check_function(name: str, value: object, argument: str) -> None:
    """Raise unless `value` is None or a plain function. `argument`: the function's argument, in words."""
    # Neither an `async def` function nor an object with an async __call__ is a plain function.
    called = value if inspect.isroutine(value) else getattr(value, "__call__", None)  # noqa: B004 - not whether, but what
    if value is not None and (not callable(value) or inspect.iscoroutinefunction(called)):
        raise InvalidTypeError(f"{name} must be a plain function of {argument}", "Pass a function that is not async.")
