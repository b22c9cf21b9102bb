"""Signals that end a command: SIGINT (Ctrl-C), SIGTERM, SIGHUP, and SIGBREAK on Windows, all in the same way.

The first one cancels what runs, so that finished work is kept and hidden files are removed. That takes some
milliseconds, so after the second one there is a second for it; then what still runs is interrupted wherever it is, and
after ten more seconds the process ends as it is. The third one ends it so at once.

To interrupt earlier would do harm: an event loop whose callbacks or tasks are interrupted may never end.
"""

import _thread
import asyncio
import os
import signal
import threading
import time
from collections.abc import Coroutine, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, TypeVar

from plugchat_async.cli.terminal import tell

T = TypeVar("T")

# Those that this system has.
_ENDING: Final = [
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if name in signal.Signals.__members__
]
_STDERR: Final = 2
# Seconds after the second signal until what runs is interrupted, and from then on until the process ends.
_GRACE: Final = 1.0
_LAST_GRACE: Final = 10.0


class StoppedError(KeyboardInterrupt):
    """A signal has ended the command. Its notes say what is finished and how to go on.

    Attributes:
        signal: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells report it."""
        return 128 + self.signal


class _Handler:
    """What the signals do in one run of a command."""

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.in_loop = False
        # Whether the first signal has come while the loop was being made or closed.
        self.missed = False
        self.shields = 0
        self._received: list[int] = []
        self._grace_is_over = False
        # Behind a shield, a signal that should have ended the command at once.
        self._held: StoppedError | None = None
        self._on_terminal = os.isatty(_STDERR)

    @property
    def first(self) -> StoppedError | None:
        return StoppedError(self._received[0]) if self._received else None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if not self._grace_is_over:
            self._received.append(number)
            if len(self._received) > 2:
                os._exit(128 + number)
            self._leave_lost_terminal()
            if len(self._received) > 1:
                # Not a Thread: its start takes a lock, which what is interrupted here may have.
                _thread.start_new_thread(self._end_soon, (number,))
                return
            if self.in_loop:
                self._cancel()
                return
        self._grace_is_over = False
        if self.shields:
            self._held = StoppedError(number)
        else:
            raise StoppedError(number)

    def _cancel(self) -> None:
        task = self.task
        if task is None or task.done():
            self.missed = True
        else:
            task.cancel()
            task.get_loop().call_soon_threadsafe(lambda: None)  # wakes it up if it waits for the network

    def _end_soon(self, number: int) -> None:
        """Interrupt the main thread after a while, and end the process if that does not help either."""
        time.sleep(_GRACE)
        if _handler is self:  # the command has not ended
            self._grace_is_over = True
            if hasattr(signal, "pthread_kill"):
                main = threading.main_thread().ident
                assert main is not None, "it runs"
                signal.pthread_kill(main, number)
            else:
                _thread.interrupt_main(signal.Signals(number))
            time.sleep(_LAST_GRACE)
        if _handler is self:
            os._exit(128 + number)

    def end_shield(self) -> None:
        self.shields -= 1
        held = self._held
        if held is not None and not self.shields:
            self._held = None
            raise held

    def _leave_lost_terminal(self) -> None:
        """Redirect stderr to the null device if its terminal is gone: what is written there would fail."""
        if self._on_terminal and not os.isatty(_STDERR):
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)


_handler: _Handler | None = None


@contextmanager
def ended_by_signals() -> Generator[None]:
    """Let signals end what runs in this block, with a StoppedError. One that was ignored before stays ignored.

    So SIGINT stays ignored in a job that a plain sh started in the background, and SIGHUP with nohup. Outside of the
    main thread, where Python allows no handlers, this does nothing.
    """
    global _handler  # noqa: PLW0603 - signals belong to the process
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    outer, _handler = _handler, _Handler()
    # None: a handler that Python does not know.
    before = {number: found for number in _ENDING if (found := signal.getsignal(number)) not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, _handler)
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)
        _handler = outer


def end_with(code: int) -> None:
    """Let a signal end this process at once from now on, with the exit code of a command that is done."""

    def end(_number: int, _frame: FrameType | None) -> None:
        os._exit(code)

    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                signal.signal(number, end)


@contextmanager
def shielded() -> Generator[None]:
    """Finish this block, which must be short, before a signal ends the command: it saves what is finished."""
    handler = _handler
    if handler is None:
        yield
        return
    handler.shields += 1
    try:
        yield
    finally:
        handler.end_shield()


def is_stopping() -> bool:
    """Return whether a signal has come that ends the command."""
    return _handler is not None and _handler.first is not None


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, on uvloop if the extra `speed` is installed, and return its result.

    Raises:
        StoppedError: A signal has cancelled it.
    """
    try:
        import uvloop  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError:
        run = asyncio.run
    else:
        run = uvloop.run
    handler = _handler
    if handler is None:
        return run(main)
    cancellable = _cancellable(main, handler)
    handler.in_loop = True
    try:
        result = run(cancellable)
    except (asyncio.CancelledError, RuntimeError):
        # RuntimeError: what was interrupted is uvloop, which then can't end its loop well.
        if (stopped := handler.first) is not None:
            raise stopped from None
        raise
    else:
        if handler.missed and (stopped := handler.first) is not None:
            raise stopped
        return result
    finally:
        handler.in_loop = False
        # A signal may have come before they began: Python would warn of that.
        cancellable.close()
        main.close()


async def _cancellable(main: Coroutine[Any, Any, T], handler: _Handler) -> T:
    handler.task = asyncio.current_task()
    try:
        if handler.missed:
            raise asyncio.CancelledError
        return await main
    finally:
        handler.task = None


def is_ctrl_c(stop: KeyboardInterrupt) -> bool:
    """Return whether it was Ctrl-C, which some commands end with, and not another signal."""
    return not isinstance(stop, StoppedError) or stop.signal == signal.SIGINT


def print_stop(stop: KeyboardInterrupt) -> int:
    """Print on stderr, in a line, what is finished and how to go on. Return the exit code."""
    notes = " ".join(getattr(stop, "__notes__", ()))
    if isinstance(stop, StoppedError) and not is_ctrl_c(stop):
        line = f"stopped by {stop.signal.name}: {notes or 'run the command again'}"
    else:
        line = f"interrupted: {notes}" if notes else ""
    if line:
        tell(f"{line.rstrip('.')}.\n")
    return stop.exit_code if isinstance(stop, StoppedError) else 128 + signal.SIGINT
