"""Checks of arguments, before any I/O: each message names the argument and its value, and what would be right."""

import inspect

from plugchat_async.errors import InvalidTypeError, InvalidValueError

# More than any list has; what is longer by thousands of digits Python refuses to print.
_MOST = 10**15


def check_int(name: str, value: object, *, minimum: int, maximum: int = _MOST) -> int:
    """Give `value` if it is an int from `minimum` to `maximum`. A bool is not an int here: page_size=True is a slip."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be an int, got {value!r}", f"Give {name} as an int.")
    if abs(value) > _MOST:
        raise InvalidValueError(
            f"{name} is out of range: it has {value.bit_length()} bits", f"Give {name} as {minimum} or more."
        )
    if value < minimum:
        raise InvalidValueError(
            f"{name} must be at least {minimum}, got {value!r}", f"Give {name} as {minimum} or more."
        )
    if value > maximum:
        raise InvalidValueError(
            f"{name} must be at most {maximum}, got {value!r}", f"Give {name} as {maximum} or less."
        )
    return value


def check_optional_int(name: str, value: object, *, minimum: int) -> int | None:
    """Give `value` if it is None or passes `check_int`."""
    return None if value is None else check_int(name, value, minimum=minimum)


def check_seconds(name: str, value: object, *, zero: bool) -> float:
    """Give `value` as a float if it is a finite number of seconds, above zero or, where `zero` is allowed, from it."""
    return check_number(name, value, zero=zero, unit=" of seconds")


def check_number(name: str, value: object, *, zero: bool = True, maximum: int = _MOST, unit: str = "") -> float:
    """Give `value` as a float if it is a number up to `maximum`, above zero or, where `zero` is allowed, from it."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be a number{unit}, got {value!r}", f"Give {name} as a float.")
    if not 0 <= value <= _MOST or (value == 0 and not zero):  # NaN is in no range
        got = value if isinstance(value, float) or abs(value) <= _MOST else f"{value.bit_length()} bits"
        raise InvalidValueError(
            f"{name} must be a finite number {'of at least' if zero else 'above'} 0, got {got}",
            f"Give {name} as a number{unit}.",
        )
    if value > maximum:
        raise InvalidValueError(f"{name} must be at most {maximum}, got {value}", f"Give {name} as {maximum} or less.")
    return float(value)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse `value` unless it is one of `choices`."""
    if value not in choices:
        allowed = " or ".join(repr(choice) for choice in choices)
        raise InvalidValueError(f"{name} must be {allowed}, got {value!r}", f"Give {name} as {allowed}.")


def check_type(name: str, value: object, wanted: type, *, optional: bool = False) -> None:
    """Refuse `value` unless it is of type `wanted`, or None where that is allowed."""
    if not isinstance(value, wanted) and not (optional and value is None):
        kind = f"{wanted.__module__.partition('.')[0]}.{wanted.__name__}".removeprefix("builtins.")
        raise InvalidTypeError(f"{name} must be of type {kind}, got {type(value).__name__}")


def check_function(name: str, value: object, argument: str) -> None:
    """Refuse `value` unless it is None or a plain function (of `argument`, in words)."""
    # `async def` makes no plain function, neither of a function nor of an object's __call__.
    called = value if inspect.isroutine(value) else getattr(value, "__call__", None)  # noqa: B004 - not whether, but what
    if value is not None and (not callable(value) or inspect.iscoroutinefunction(called)):
        raise InvalidTypeError(f"{name} must be a plain function of {argument}", "Give a function that is not async.")
