"""PlugChatSimulator: a server of the vendor's calls for lists and status, with made-up accounts."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from aiohttp import hdrs, web
from attrs import frozen

from plugchat_async._http.token import token_problem
from plugchat_async._http.urls import STATUS_PATH
from plugchat_async._internal.validation import check_choice, check_int, check_optional_int, check_seconds, check_type
from plugchat_async.calls import CALLS
from plugchat_async.errors import InvalidValueError
from plugchat_async.models import Chat
from plugchat_async.testing.account import SimulatedAccount
from plugchat_async.testing.dialects import DIALECTS, Dialect
from plugchat_async.testing.events import ChatEvents
from plugchat_async.testing.faults import Fault
from plugchat_async.testing.listing import listed_chats
from plugchat_async.testing.quirks import RETRY_AFTER, Quirks
from plugchat_async.testing.responses import number_in, refusal, response_to
from plugchat_async.testing.script import FaultScript
from plugchat_async.testing.traffic import Traffic


@frozen
class SimulatedRequest:
    """A request that the simulator received.

    Attributes:
        method: The method.
        path: The path.
        headers: The headers, with names in lower case.
        page: The parameter `page` as sent, None without it.
        page_size: The parameter `pageSize` as sent, None without it.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    page: str | None
    page_size: str | None


LOOPBACK: Final = "127.0.0.1"
# Where one that listens on all addresses is reached from this machine.
_OF_THIS_MACHINE: Final = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - the keys are asked for


class PlugChatSimulator(ChatEvents):
    """A Plug Chat server with one or several accounts of made-up chats, on loopback, in the caller's event loop.

        async with PlugChatSimulator(chats=1000, seed=7) as sim, PlugChatSession(sim.token, base_url=sim.base_url) as s:
            assert set(await s.list_chats()) == set(sim.chats)

    It follows the vendor's page: the raw token in Authorization (else 401), GET only (405 with Allow), Content-Type
    application/json (415), `page` and `pageSize` from 1 (400). `Quirks` are departures from it.

    Its methods and attributes for chats are those of the first account, see `SimulatedAccount`.

    Args:
        chats: The number of chats of the first account. Default 100. Those with unread messages are its pending chats.
        seed: The same seed makes the same chats. Default 0.
        latency: The time before each response, in seconds. Default 0.0.
        connected: Whether the phone is connected to WhatsApp. If not, the list is empty (200 and `[]`), and the status
            is "not connected", as with the gateway. Default True.
        token: The token that requests for the first account send. Default "simulated-token".
        port: The port to listen on. Default 0: any free port.
        host: The address or host name to listen on, such as "0.0.0.0" for other machines and containers. Anybody who
            reaches it can use it. Default "127.0.0.1".
        dialect: The kind and spelling of chats. "gateway": as the gateway lists them today. Times are in milliseconds,
            half of the chats have no phone but a lid, more than half have no time, and a person has up to five chats.
            "documented": as in the vendor's page of 2021. Times are in seconds, and each chat has a phone and a time.
            Default "gateway".
        quirks: The departures from the vendor's page, for all accounts. Default None: there are none.
        contacts: The number of contacts of the first account. Default None: as many as chats, as in other accounts.

    Attributes:
        token: The first account's token.
        requests: The requests so far, in order.

    Raises:
        InvalidValueError: An argument is out of range.
        InvalidTypeError: An argument has the wrong type.
    """

    def __init__(
        self,
        chats: int = 100,
        *,
        seed: int = 0,
        latency: float = 0.0,
        connected: bool = True,
        token: str = "simulated-token",  # noqa: S107 - it protects nothing
        port: int = 0,
        host: str = LOOPBACK,
        dialect: Dialect = "gateway",
        quirks: Quirks | None = None,
        contacts: int | None = None,
    ) -> None:
        check_int("chats", chats, minimum=0)
        check_optional_int("contacts", contacts, minimum=0)
        check_int("port", port, minimum=0, maximum=65535)
        check_type("host", host, str)
        if not host:
            raise InvalidValueError("host is empty", "Use 127.0.0.1, or 0.0.0.0 for all addresses.")
        check_seconds("latency", latency, zero=True)
        check_type("connected", connected, bool)
        check_choice("dialect", dialect, DIALECTS)
        check_type("quirks", quirks, Quirks, optional=True)
        self._quirks = quirks or Quirks()
        self._answered = 0
        self._dialect: Dialect = dialect
        self._account = self._make_account(chats, seed, token, contacts)
        self._account.connected = connected
        super().__init__(self._account.chat_list, self._account.contact_list)
        self._accounts = {token: self._account}
        self._latency = latency
        self._port = port
        self._host = host
        self._script = FaultScript()
        self._runner: web.AppRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._interval: float | None = None
        self._traffic = Traffic()
        self._ticker: asyncio.Task[None] | None = None
        self.token = token
        self.requests: list[SimulatedRequest] = []

    @property
    def base_url(self) -> str:
        """The base URL for this machine, http://127.0.0.1:port, or with the `host` that it listens on.

        Others reach one that listens on all addresses by this machine's name, with `insecure_http=True`.

        Raises:
            RuntimeError: If the simulator is not running.
        """
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the simulator is not running: use `async with PlugChatSimulator() as sim`")
        host = _OF_THIS_MACHINE.get(self._host, self._host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self._runner.addresses[0][1]}"

    @property
    def listed_chats(self) -> tuple[Chat, ...]:
        """The first account's chats on all pages of its list: those of `chats`, as `Quirks` place or hide them."""
        return tuple(listed_chats(self._account, self._quirks))

    @property
    def connected(self) -> bool:
        """Whether the first account's phone is connected to WhatsApp. Can be set at any time."""
        return self._account.connected

    @connected.setter
    def connected(self, value: bool) -> None:
        self._account.connected = value

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("the simulator was started before: create another one")
        app = web.Application()
        for path in (*(call.path for call in CALLS), STATUS_PATH):
            app.router.add_route("*", path, self._handle)
        # A client that disconnects cancels its handler, which ends "hang".
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, self._host, self._port).start()
        self._runner = runner
        self._loop = asyncio.get_running_loop()
        self._start_ticker()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._loop = None
        if self._ticker is not None:
            self._ticker.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def add_account(self, token: str, chats: int = 100, *, seed: int | None = None) -> SimulatedAccount:
        """Add an account, with the simulator's dialect and quirks, and return it.

        Args:
            token: The token that requests for this account send.
            chats: The number of its chats. Default 100.
            seed: The same seed makes the same chats. Default None: each account has its own.

        Raises:
            InvalidValueError: The token is not valid, or belongs to another account.
        """
        check_int("chats", chats, minimum=0)
        problem = token_problem(token)
        if problem is not None:
            raise problem
        if token in self._accounts:
            raise InvalidValueError("another account has that token", "Use a different token for each account.")
        seed = 1_000_003 * len(self._accounts) if seed is None else seed
        account = self._accounts[token] = self._make_account(chats, seed, token)
        account.start_traffic(self._traffic, seed=seed)
        return account

    def _make_account(self, chats: int, seed: int, token: str, contacts: int | None = None) -> SimulatedAccount:
        return SimulatedAccount(
            chats, contacts, seed=seed, token=token, dialect=self._dialect, pinned=self._quirks.pinned
        )

    def script(self, *faults: Fault, token: str | None = None, page: int | None = None) -> None:
        """Script the next requests, one fault each, in order. Later requests get correct responses.

        Args:
            faults: The faults. `Fault.none()` stands for a request without a fault. `Fault.status(503).always()` lasts:
                each later request gets it, until the next call for the same account and page, which may be without
                faults.
            token: The account whose requests are scripted. Default None: all accounts that have no script of their own.
            page: The page whose requests are scripted, as they name it. Default None: all requests for which no page is
                scripted, also those for the status.

        Raises:
            InvalidValueError: A fault comes after one that lasts, or `page` is negative.
            InvalidTypeError: `page` is not an int.
        """
        check_optional_int("page", page, minimum=0)
        self._script.add(faults, token, page)

    def traffic(
        self,
        *,
        bumps: float = 0.0,
        inserts: float = 0.0,
        deletes: float = 0.0,
        late_bumps: float = 0.0,
        ahead_bumps: float = 0.0,
        first_bumps: float = 0.0,
        bursts: float = 0.0,
        burst_size: int = 20,
        put_backs: float = 0.0,
        pins: float = 0.0,
        archives: float = 0.0,
        syncs: float = 0.0,
        seed: int = 0,
        every: float | None = None,
    ) -> None:
        """Change the lists of all accounts from now on, with random events in each interval.

        A call without arguments ends the traffic. Numbers of events are averages in an interval, from 0.0 to 10,000.0,
        with a default of 0.0.

        Args:
            bumps: Messages: a chat moves to the front.
            inserts: New chats.
            deletes: Deleted chats.
            late_bumps: Messages that arrive late: a chat moves up, but not to the front.
            ahead_bumps: Messages that are dated ahead of now, by up to an hour: a chat stays in front of newer ones.
            first_bumps: Messages to chats without a time.
            bursts: Bursts: several chats get a message within one second.
            burst_size: The number of chats in a burst, from 1 to 10,000. Default 20.
            put_backs: Deleted messages: a chat moves down, and may lose its time.
            pins: Chats that are pinned, or unpinned. Three are pinned at most.
            archives: Chats that are archived, or taken out of the archive.
            syncs: Chats that are synced after `start_sync`.
            seed: The same seed makes the same events. Default 0.
            every: The interval in seconds. Default None: from one request of an account to its next.

        Raises:
            InvalidValueError: An argument is out of range.
            InvalidTypeError: An argument has the wrong type.
            RuntimeError: The simulator is running, and `every` is set or changed outside of its event loop.
        """
        traffic = Traffic(
            bumps=bumps,
            inserts=inserts,
            deletes=deletes,
            late_bumps=late_bumps,
            ahead_bumps=ahead_bumps,
            first_bumps=first_bumps,
            bursts=bursts,
            burst_size=burst_size,
            put_backs=put_backs,
            pins=pins,
            archives=archives,
            syncs=syncs,
        )
        interval = None if every is None else check_seconds("every", every, zero=False)
        changes_ticker = self._loop is not None and (interval is not None or self._ticker is not None)
        if changes_ticker and self._loop is not _running_loop():
            raise RuntimeError("call traffic(every=...) in the simulator's event loop, or before it is started")
        self._interval = interval
        self._traffic = traffic
        for number, account in enumerate(self._accounts.values()):
            account.start_traffic(traffic, seed=seed + number)
        if changes_ticker:
            self._start_ticker()

    def _start_ticker(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        self._ticker = None if self._interval is None else asyncio.create_task(self._tick(self._interval))

    async def _tick(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            for account in self._accounts.values():
                account.pass_interval()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(
            SimulatedRequest(
                request.method,
                request.path,
                {name.lower(): value for name, value in request.headers.items()},
                request.query.get("page"),
                request.query.get("pageSize"),
            )
        )
        # Faults are taken in the order of arrival, so before the first await.
        token = request.headers.get(hdrs.AUTHORIZATION)
        fault = self._script.next(token, number_in(request.query.get("page")))
        if self._latency:
            await asyncio.sleep(self._latency)
        account = self._accounts.get(token or "")
        response = self._limit(self._answer(request, account, fault))
        if self._interval is None and account is not None:
            account.pass_interval()
        return await fault.apply(request, response)

    def _answer(self, request: web.Request, account: SimulatedAccount | None, fault: Fault) -> web.Response:
        return response_to(request, account, self._quirks, self._dialect, self._answered, share=fault.share)

    def _limit(self, response: web.Response) -> web.Response:
        """Count a response, and replace it by a 429 if the limit is exceeded."""
        self._answered += 1
        limit = self._quirks.max_requests
        if limit is None:
            return response
        if self._answered > limit:
            response = refusal(429, "too many requests", {hdrs.RETRY_AFTER: str(RETRY_AFTER)})
        response.headers["X-RateLimit-Limit"] = str(limit)
        response.headers["X-RateLimit-Remaining"] = str(max(0, limit - self._answered))
        return response


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
