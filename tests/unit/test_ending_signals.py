"""Signals that end a command, in one process: what they raise, and where."""

import asyncio
import gc
import inspect
import signal
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from plugchat_async.cli import app, signals
from plugchat_async.cli.signals import StoppedError, ended_by_signals, print_stop, run_async, shielded

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run on this kind of loop."""
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)
    else:
        pytest.importorskip("uvloop")


@pytest.mark.parametrize("number", ENDING)
def test_handlers_are_there_meanwhile(number: signal.Signals) -> None:
    """What runs is ended; then the signals do what they did before."""
    before = signal.getsignal(number)
    with pytest.raises(StoppedError) as caught, ended_by_signals():
        signal.raise_signal(number)
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", ENDING)
def test_what_is_ignored_stays_ignored(number: signal.Signals) -> None:
    """The caller has said so."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with ended_by_signals():
            signal.raise_signal(number)
    finally:
        signal.signal(number, before)


def test_a_short_block_is_finished_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also inside of another one, and also if it is the second signal that ends the command."""
    monkeypatch.setattr(signals, "_GRACE", 0.0)
    done: list[str] = []

    async def main() -> None:
        signal.raise_signal(signal.SIGTERM)
        with shielded():
            with shielded():
                signal.raise_signal(signal.SIGHUP)
                time.sleep(0.2)  # in which it is interrupted
                done.append("inner")
            done.append("outer")
        done.append("behind")

    with pytest.raises(StoppedError) as caught, ended_by_signals():
        run_async(main())
    assert done == ["inner", "outer"]
    assert caught.value.exit_code == 128 + signal.SIGHUP


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("stopped", [True, False])
def test_a_loop_that_ends_badly_after_a_signal(stopped: bool) -> None:
    """The signal is what counts: a second one may come anywhere in the loop. Without one, it is a bug that is shown."""

    async def main() -> None:
        if stopped:
            signal.raise_signal(signal.SIGTERM)
        asyncio.get_running_loop().stop()
        await asyncio.sleep(30)

    with pytest.raises(StoppedError if stopped else RuntimeError), ended_by_signals():
        run_async(main())


@pytest.mark.usefixtures("loop")
def test_a_second_signal_leaves_the_first_one_time() -> None:
    """Wherever it comes: what is interrupted in the middle of a loop may never end."""
    done: list[str] = []

    async def main() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(30)
        finally:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
            done.append("cleaned up")

    with pytest.raises(StoppedError) as caught, ended_by_signals():
        run_async(main())
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert done == ["cleaned up"]


def test_a_second_signal_leaves_what_follows_the_loop_time() -> None:
    """There is said what is finished."""
    with ended_by_signals(), pytest.raises(StoppedError) as caught:
        try:
            signal.raise_signal(signal.SIGTERM)
        except StoppedError as stop:
            signal.raise_signal(signal.SIGTERM)
            stop.add_note("3 of 5 are finished.")
            raise
    assert caught.value.__notes__ == ["3 of 5 are finished."]


def test_a_second_signal_leaves_the_last_line_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says how the command has ended."""

    def run(_: object) -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0

    def print_late(stop: KeyboardInterrupt) -> int:
        signal.raise_signal(signal.SIGTERM)
        return print_stop(stop)

    monkeypatch.setattr(app, "_run", run)
    monkeypatch.setattr(app, "print_stop", print_late)
    assert app.run([]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "stopped by SIGTERM: run the command again.\n"


@pytest.mark.parametrize("when", ["made", "closed"])
def test_a_signal_beside_the_loop_s_run_ends_the_command(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """While the loop is being made, or closed."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    run = asyncio.run
    done: list[str] = []

    def run_with_signal(main: Coroutine[Any, Any, None]) -> None:
        if when == "made":
            signal.raise_signal(signal.SIGTERM)
        run(main)
        if when == "closed":
            signal.raise_signal(signal.SIGTERM)
        done.append("left")

    monkeypatch.setattr(asyncio, "run", run_with_signal)

    async def main() -> None:
        done.append("run")

    with pytest.raises(StoppedError) as caught, ended_by_signals():
        run_async(main())
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert done == (["run", "left"] if when == "closed" else [])


def test_a_signal_before_it_begins_warns_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would say on stderr that a coroutine was never awaited."""

    async def main() -> None:
        """It does not come so far."""

    def stop(_: object) -> None:
        raise StoppedError(signal.SIGTERM)

    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setattr(asyncio, "run", stop)
    coroutine = main()
    with pytest.raises(StoppedError), ended_by_signals():
        run_async(coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    gc.collect()  # finds what was not closed


def test_the_first_signal_cancels() -> None:
    """So that what is open is closed; a cancellation of another kind is none of a signal."""
    done: list[str] = []

    async def main() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            done.append("closed")

    with pytest.raises(StoppedError), ended_by_signals():
        run_async(main())
    assert done == ["closed"]

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError), ended_by_signals():
        run_async(cancelled())


def test_other_threads_have_no_handlers() -> None:
    """Python allows none there."""
    found: list[object] = []

    async def main() -> int:
        return 7

    def run() -> None:
        with ended_by_signals(), shielded():
            found.extend((signal.getsignal(signal.SIGTERM), run_async(main())))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert found == [signal.getsignal(signal.SIGTERM), 7]


def test_python_s_own_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told as Ctrl-C."""
    stop = KeyboardInterrupt()
    assert print_stop(stop) == 130
    assert capsys.readouterr().err == ""
    stop.add_note("3 of 5 are finished.")
    assert print_stop(stop) == 130
    assert capsys.readouterr().err == "interrupted: 3 of 5 are finished.\n"
