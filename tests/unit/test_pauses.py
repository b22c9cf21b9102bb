"""Time in which this process does not run is not the server's silence."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from plugchat_async import Clock, ConnectionFailedError, PlugChatSession, RequestTimeoutError, RetryPolicy, TokenError
from plugchat_async._http import pauses as pauses_module
from plugchat_async._http.page_attempts import _MAX_PAUSES
from plugchat_async._http.pauses import Pauses
from plugchat_async._http.proxy import Proxies
from plugchat_async._http.request import Request, RequestBuilder, RequestTemplate
from plugchat_async._http.response import Response
from plugchat_async._http.secret import Secret
from plugchat_async._http.transport import AttemptFailed, Transport
from plugchat_async.testing import PlugChatSimulator
from support.fakes import VirtualLoop, served

PAGE = b'[{"phone":"1"}]'


class StoppedLoop(VirtualLoop):
    """An event loop whose clock goes on while nothing runs."""

    def stop_for(self, seconds: float) -> None:
        self._now += seconds


def run(main: Callable[[StoppedLoop], Coroutine[Any, Any, None]]) -> None:
    """Run in such a loop, in this thread."""
    with asyncio.Runner(loop_factory=StoppedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, StoppedLoop)
        runner.run(main(loop))


class Answers(Transport):
    """Answers after some seconds, or fails then; in between the process is stopped."""

    def __init__(
        self, loop: StoppedLoop, seconds: float, *stops: tuple[float, float], error: OSError | None = None
    ) -> None:
        super().__init__(borrowed=None, proxies=Proxies(), ssl_context=None, max_response_bytes=1000)
        self._stops = list(stops)
        self._seconds, self._error, self._virtual = seconds, error, loop
        self.requests = 0

    async def _ask(self, client: object, request: Request, response: Response) -> None:
        self.requests += 1
        if self._stops:
            after, length = self._stops.pop(0)
            self._virtual.call_later(after, self._virtual.stop_for, length)
            await asyncio.sleep(self._seconds)
            if self._error is not None:
                raise self._error
        response.status, response.body, response.complete = 200, PAGE, True


def session_over(transport: Transport, loop: StoppedLoop, **options: Any) -> PlugChatSession:
    """A session whose requests go nowhere else, by the loop's clock."""
    clock = Clock(monotonic=loop.time, time=loop.time, random=lambda: 0.5)
    session = PlugChatSession("t0ken", base_url="http://localhost:9", clock=clock, **options)
    session._transport = session._fetcher.transport = transport
    return session


@pytest.mark.parametrize("stop", [(10.0, 25.0), (10.0, 3600.0), (0.0, 3600.0)], ids=repr)
def test_an_attempt_gets_the_time_back(stop: tuple[float, float]) -> None:
    """The server had 29 of the 30 seconds, as it turns out, and the page its deadline: it is asked once."""

    async def main(loop: StoppedLoop) -> None:
        transport = Answers(loop, 29.0 + stop[1], stop)
        async with session_over(transport, loop, retry=RetryPolicy(attempts=1)) as session:
            assert len((await session.fetch_page(1, 10)).chats) == 1
        assert transport.requests == 1
        assert loop.time() == pytest.approx(29.0 + stop[1], abs=1.1)

    run(main)


def test_an_attempt_that_ends_with_the_pause() -> None:
    """Its time is over before the pause is noticed: then the time is not given back, but it is asked again."""

    async def main(loop: StoppedLoop) -> None:
        transport = Answers(loop, 1000.0, (29.5, 60.0))
        async with session_over(transport, loop, retry=RetryPolicy(attempts=1), timeout=29.7) as session:
            forever = asyncio.timeout(None)
            transport.pauses.add(forever)
            assert len((await session.fetch_page(1, 10)).chats) == 1
            assert forever.when() is None
        assert transport.requests == 2
        assert loop.time() == pytest.approx(89.5, abs=0.1)

    run(main)


@pytest.mark.parametrize(("stop", "end"), [((10.5, 1.2), 30.0), ((10.0, 100.0), 130.0)], ids=repr)
def test_a_server_that_is_silent_is_silent_all_the_same(stop: tuple[float, float], end: float) -> None:
    """Less than two seconds are a busy machine; and the time that was lost is all that is given back."""

    async def main(loop: StoppedLoop) -> None:
        transport = Answers(loop, 1000.0, stop)
        transport.open()
        request = RequestBuilder().build(RequestTemplate("http://localhost:9"), Secret("t0ken"), 1, 10)
        failed = await transport.send(request, timeout=30.0)
        assert isinstance(failed, AttemptFailed)
        assert isinstance(failed.error, RequestTimeoutError)
        assert loop.time() == pytest.approx(end, abs=1.1)
        assert failed.paused == (stop[1] > 2)
        await transport.close()

    run(main)


def test_what_failed_meanwhile_is_asked_again_for_nothing() -> None:
    """A connection that was given up while the process slept costs neither an attempt nor the budget, a few times."""

    async def main(loop: StoppedLoop) -> None:
        for stops, requests in ((_MAX_PAUSES, _MAX_PAUSES + 1), (_MAX_PAUSES + 1, _MAX_PAUSES + 1)):
            transport = Answers(loop, 70.0, *[(1.0, 60.0)] * stops, error=ConnectionResetError())
            async with session_over(transport, loop, retry=RetryPolicy(attempts=1), timeout=80.0) as session:
                budget = session._fetcher.budget.tokens
                if stops == _MAX_PAUSES:
                    page = await session.fetch_page(1, 10)
                    assert len(page.chats) == 1
                else:
                    with pytest.raises(ConnectionError):
                        await session.fetch_page(1, 10)
                assert session._fetcher.budget.tokens == budget
            assert transport.requests == requests

    run(main)


def test_a_token_function_gets_the_time_back() -> None:
    """A vault that answers after 20 seconds does so in time, although the process was stopped for an hour."""

    async def main(loop: StoppedLoop) -> None:
        async def token() -> str:
            loop.call_later(1.0, loop.stop_for, 3600.0)
            await asyncio.sleep(3620.0)
            return "t0ken"

        transport = Answers(loop, 1.0)
        async with session_over(transport, loop, retry=RetryPolicy(attempts=1)) as session:
            session._fetcher.token = PlugChatSession(token)._fetcher.token
            await session.fetch_page(1, 10)
        with pytest.raises(TokenError, match="took longer than 30 s"):
            async with session_over(Answers(loop, 1.0), loop) as session:
                session._fetcher.token = PlugChatSession(lambda: asyncio.sleep(40.0, "t0ken"))._fetcher.token
                await session.fetch_page(1, 10)

    run(main)


async def test_the_clock_is_looked_at_only_while_something_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not any more when all limits are given up."""
    monkeypatch.setattr(pauses_module, "_INTERVAL", 0.01)
    pauses, one, two = Pauses(), asyncio.timeout(1), asyncio.timeout(1)
    pauses.add(one)
    pauses.add(two)
    pauses.remove(two)
    await asyncio.sleep(0.05)
    timer = pauses._timer
    assert timer is not None
    pauses.remove(one)
    async with asyncio.timeout(10):
        while pauses._timer is not None:
            await asyncio.sleep(0.01)
    others = Pauses()
    others.add(one)
    timer = others._timer
    assert timer is not None
    others.stop()
    assert timer.cancelled()


def test_a_pause_before_an_attempt_is_not_its_own() -> None:
    """However late it is noticed."""

    async def main(loop: StoppedLoop) -> None:
        transport = Answers(loop, 1000.0, (100.0, 0.0))
        transport.open()
        before = asyncio.timeout(1.0)
        transport.pauses.add(before)
        transport.pauses.remove(before)
        loop.stop_for(60.0)
        request = RequestBuilder().build(RequestTemplate("http://localhost:9"), Secret("t0ken"), 1, 10)
        failed = await transport.send(request, timeout=30.0)
        assert isinstance(failed, AttemptFailed)
        assert not failed.paused
        assert loop.time() == pytest.approx(90.0, abs=0.1)
        await transport.close()

    run(main)


def test_a_pause_before_a_page_is_not_taken_off_its_time() -> None:
    """As when the caller's code keeps the event loop between two pages."""

    async def main(loop: StoppedLoop) -> None:
        transport = Answers(loop, 1.0)
        async with session_over(transport, loop, retry=RetryPolicy(attempts=1)) as session:
            await session.fetch_page(1, 10)
            loop.stop_for(4.0)
            transport._stops, transport._error = [(0.5, 0.0)], ConnectionResetError()
            with pytest.raises(ConnectionError) as caught:
                await session.fetch_page(2, 10)
        assert isinstance(caught.value, ConnectionFailedError)
        assert caught.value.elapsed == pytest.approx(1.0)

    run(main)


SCRIPT = """
    import asyncio, sys
    from plugchat_async import Account, RetryPolicy, fetch_many

    async def main():
        accounts = [Account(f"a{i}", sys.argv[2]) for i in range(20)]
        print("ready", flush=True)
        failed = []
        async for result in fetch_many(accounts, base_url=sys.argv[1], timeout=2.0, concurrency=10,
                                       retry=RetryPolicy(attempts=1), page_size=5):
            if result.error:
                failed.append(str(result.error))
        print("failed", len(failed), failed[:1], flush=True)

    asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")
def test_a_process_that_is_stopped_loses_no_account() -> None:
    """For twice as long as its requests may take, in the middle of them."""
    with served(PlugChatSimulator(chats=50, latency=0.2)) as sim:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), sim.base_url, sim.token],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.5)
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(5.0)
            os.kill(process.pid, signal.SIGCONT)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
    assert output == "failed 0 []\n"
