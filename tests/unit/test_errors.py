import copy
import inspect
import pickle
import re

import pytest

import plugchat_async
from plugchat_async import (
    Attempt,
    ConnectionFailedError,
    DecodeError,
    NotConnectedError,
    PlugChatError,
    Problem,
    RequestTimeoutError,
    ServerError,
    errors,
)

CLASSES = sorted(
    (c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, PlugChatError)),
    key=lambda c: c.__name__,
)


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    """Each class stands in the drawing, below the class that it derives from."""
    drawn: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in (inspect.getdoc(errors) or "").splitlines():
        found = re.match(r"([│├└─ ]*)([A-Z]\w+Error)\b", line)
        if found:
            depth = len(found[1])
            stack = [(d, n) for d, n in stack if d < depth]
            drawn[found[2]] = stack[-1][1] if stack else "Exception"
            stack.append((depth, found[2]))
    actual = {c.__name__: c.__bases__[0].__name__ for c in CLASSES}
    assert drawn == actual


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_an_error_is_exported_and_says_what_to_do(cls: type[PlugChatError]) -> None:
    """Every class is public, has a docstring and its own or an inherited hint, with which its text ends."""
    assert getattr(plugchat_async, cls.__name__) is cls
    assert inspect.getdoc(cls)
    error = cls("it went wrong")
    assert str(error) == f"it went wrong. {cls.advice}" or isinstance(error, DecodeError)
    assert str(error).endswith(error.hint)
    assert str(cls("it went wrong", "Do this.")).endswith("Do this.")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_an_error_leads_to_its_entry_in_the_documentation(cls: type[PlugChatError]) -> None:
    """Class and instance have the address; tests/test_docs.py looks whether there is such an entry."""
    address = f"https://plugchat-async.readthedocs.io/en/stable/reference/errors.html#plugchat_async.{cls.__name__}"
    assert cls.docs_url == cls().docs_url == address


def test_a_class_of_a_caller_has_the_entry_of_the_nearest_of_ours() -> None:
    """It has none of its own."""

    class OursError(ServerError):
        """A caller's."""

    assert OursError.docs_url == ServerError.docs_url


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_an_error_survives_pickling_and_copying(cls: type[PlugChatError]) -> None:
    """All fields come back, also those that were set after the error was made."""
    error = cls("it went wrong", "Do this.", 418, "https://x.example", 3, 100, (Attempt("GET", "u", None, "x"),), 1.5)
    error.page = 4
    error.add_note("a note")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is cls
        assert vars(again) == vars(error)
        assert str(again) == str(error)


@pytest.mark.parametrize(
    ("cls", "builtin"), [(RequestTimeoutError, TimeoutError), (ConnectionFailedError, ConnectionError)]
)
def test_errors_of_the_network_are_built_in_ones_as_well(cls: type[PlugChatError], builtin: type[OSError]) -> None:
    """With all fields of ours, and none of an OSError: its way to read two or three arguments is not taken."""
    for error in (cls("late"), cls("late", "Wait."), cls("late", "Wait.", 408)):
        assert isinstance(error, builtin)
        assert (error.errno, error.strerror, error.filename) == (None, None, None)
        assert error.args == pickle.loads(pickle.dumps(error)).args
        assert str(error) == str(pickle.loads(pickle.dumps(error))) == f"late. {error.hint}"
        assert pickle.loads(pickle.dumps(error)).status == error.status


def test_the_text_gives_the_context() -> None:
    """Page, size, number of requests, time and URL follow the message."""
    attempts = (Attempt("GET", "u", None, "503"),) * 3
    error = ServerError("HTTP 503", "", 503, "https://x.example/", 2, 50, attempts, 1.25)
    assert str(error) == (
        f"HTTP 503 (page 2, page_size 50, 3 requests, 1.2 s, https://x.example/). {ServerError.advice}"
    )


def test_a_message_that_ends_in_a_sentence_gets_no_second_full_stop() -> None:
    """Such as one with the gateway's own words."""
    assert str(NotConnectedError("it says: You are not connected.", "Connect it.")).endswith("connected. Connect it.")
    assert str(NotConnectedError("not connected", "Connect it.")) == "not connected. Connect it."


def test_many_requests_without_a_time_are_counted_all_the_same() -> None:
    """The time is optional, as are all fields."""
    error = ServerError("HTTP 503", attempts=(Attempt("GET", "u", None, "503"),) * 2)
    assert error.what_happened == "HTTP 503 (2 requests)"


def test_ten_problems_are_shown_and_all_are_kept() -> None:
    """The text names page, chat and field of ten problems and counts the rest."""
    problems = tuple(Problem(i, "unread", "an integer", "'x'") for i in range(13))
    error = DecodeError("13 values can't be read", page=3, problems=problems)
    assert str(error).count("unread") == 10
    assert "page 3, chat 9, unread: expected an integer, got 'x'; and 3 more." in str(error)
    assert error.problems == problems


def test_a_problem_of_a_whole_chat_names_no_field() -> None:
    """A chat that is no object has no field to name."""
    assert str(Problem(17, "", "an object", "null")) == "chat 17: expected an object, got null"
    assert str(DecodeError("1 value", problems=(Problem(1, "", "an object", "null"),))).startswith("1 value: chat 1:")


def test_a_repr_tells_all_fields_but_checkpoints() -> None:
    """Also those that the class itself adds, in their order."""
    error = ServerError("HTTP 503", status=503, retry_after=2.0, checkpoint="long")
    assert repr(error) == (
        f"ServerError(message='HTTP 503', hint={error.hint!r}, status=503, url=None, page=None, page_size=None, "
        "attempts=(), elapsed=None, account=None, request_id=None, retry_after=2.0)"
    )
    assert repr(DecodeError("bad", problems=(Problem(0, "phone", "a", "b"),))).endswith(
        "problems=(Problem(index=0, field='phone', expected='a', got='b'),))"
    )
