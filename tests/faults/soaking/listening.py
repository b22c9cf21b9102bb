"""Listening: to warnings, to lost exceptions, and for tokens in logs."""

import contextlib
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from faults.soaking.accounts import MARK


def traced(error: BaseException) -> str:
    """The end of an error's traceback: there may be hundreds of them."""
    return "".join(traceback.format_exception(error))[-3000:]


def complaint(context: dict[str, Any]) -> str:
    """What an event loop's exception handler is told, in words."""
    error = context.get("exception")
    return str(context["message"]) + ("" if error is None else traced(error))


class Listener(logging.Handler):
    """Looks for tokens in what is logged."""

    def __init__(self, violated: Callable[[str], None]) -> None:
        super().__init__()
        self._violated = violated

    def emit(self, record: logging.LogRecord) -> None:
        if MARK in self.format(record):
            self._violated(f"a token is in the log of {record.name}")


@contextlib.contextmanager
def listening(violated: Callable[[str], None]) -> Iterator[None]:
    """Hear of warnings, lost exceptions, and tokens in logs."""
    listener = Listener(violated)
    logger = logging.getLogger("plugchat_async")
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False  # it would say so, ten thousand times
    hook = sys.unraisablehook
    sys.unraisablehook = lambda lost: violated(f"an exception was lost: {lost.exc_value!r} in {lost.object!r}")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, kind, *_: violated(f"{kind.__name__}: {message}")
        try:
            yield
        finally:
            sys.unraisablehook = hook
            logger.removeHandler(listener)
