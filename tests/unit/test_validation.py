from typing import Any

import pytest

from plugchat_async import ConfigurationError, InvalidTypeError, InvalidValueError, RetryPolicy
from plugchat_async._internal.validation import check_choice, check_int, check_optional_int, check_seconds


@pytest.mark.parametrize("value", [0, -1])
def test_a_small_int_is_a_value_error_that_names_argument_and_value(value: int) -> None:
    """What is too small is named, with what is allowed."""
    with pytest.raises(InvalidValueError, match=f"page_size must be at least 1, got {value}") as caught:
        check_int("page_size", value, minimum=1)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", [True, "10", 10.0, None])
def test_what_is_no_int_is_a_type_error(value: Any) -> None:
    """True is a slip, not the number 1."""
    with pytest.raises(InvalidTypeError, match=f"page_size must be an int, got {value!r}") as caught:
        check_int("page_size", value, minimum=1)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("value", [10**16, 10**5000, -(10**5000)], ids=int.bit_length)
def test_an_absurd_int_is_not_printed(value: int) -> None:
    """Python itself refuses to print thousands of digits; the error comes all the same."""
    with pytest.raises(InvalidValueError, match="page_size is out of range: it has [0-9]+ bits"):
        check_int("page_size", value, minimum=1)


def test_good_values_are_given_back() -> None:
    """The checks pass what is right through."""
    assert check_int("n", 1, minimum=1) == 1
    assert check_optional_int("n", None, minimum=1) is None
    assert check_optional_int("n", 2, minimum=1) == 2
    assert check_seconds("t", 1, zero=False) == 1.0
    assert check_seconds("t", 0, zero=True) == 0.0
    check_choice("c", "a", ("a", "b"))


@pytest.mark.parametrize(
    ("value", "zero", "error"),
    [
        (0, False, InvalidValueError),
        (-0.1, True, InvalidValueError),
        (float("nan"), True, InvalidValueError),
        (float("inf"), True, InvalidValueError),
        pytest.param(10**400, True, InvalidValueError, id="more than a float"),
        pytest.param(10**5000, True, InvalidValueError, id="more than can be printed"),
        (True, True, InvalidTypeError),
        ("1", True, InvalidTypeError),
    ],
)
def test_seconds_are_finite_numbers(value: Any, zero: bool, error: type[ConfigurationError]) -> None:
    """A timeout can be neither negative nor endless."""
    with pytest.raises(error, match="timeout must be a"):
        check_seconds("timeout", value, zero=zero)


def test_a_choice_names_the_choices() -> None:
    """The message lists what could have been given."""
    with pytest.raises(InvalidValueError, match="stop_on must be 'short' or 'empty', got 'never'"):
        check_choice("stop_on", "never", ("short", "empty"))


@pytest.mark.parametrize("argument", ["attempts", "initial_delay", "max_delay", "deadline", "max_retry_after"])
def test_a_retry_policy_checks_its_arguments(argument: str) -> None:
    """Each argument out of range is named."""
    options: dict[str, Any] = {argument: -1}
    with pytest.raises(InvalidValueError, match=f"RetryPolicy {argument} must be"):
        RetryPolicy(**options)


def test_a_retry_policy_may_wait_for_nothing() -> None:
    """Every wait may be zero, but a page needs some time."""
    assert RetryPolicy(initial_delay=0, max_delay=0.0, max_retry_after=0) == RetryPolicy(
        initial_delay=0.0, max_delay=0.0, max_retry_after=0.0
    )
    with pytest.raises(InvalidValueError, match="RetryPolicy deadline must be a finite number above 0"):
        RetryPolicy(deadline=0)
