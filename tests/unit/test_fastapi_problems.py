"""The FastAPI integration: each error has a problem of its own."""

import inspect

from plugchat_async import (
    PlugChatError,
    errors,
)
from plugchat_async.integrations.fastapi.problems import _PROBLEMS, _problem_of


def test_every_error_has_a_problem() -> None:
    """Its own, or that of the class above: only the base's says nothing."""
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, PlugChatError) and kind is not PlugChatError:
            assert _problem_of(kind("x")) is not _PROBLEMS[PlugChatError], name
