"""PlugChatSimulator: an honest server of the vendor's calls for chats and status, on loopback, in the caller's loop."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from aiohttp import hdrs, web
from attrs import frozen

from plugchat_async._http.token import token_problem
from plugchat_async._http.urls import CHATS_PATH, STATUS_PATH
from plugchat_async._internal.validation import check_choice, check_int, check_number, check_seconds, check_type
from plugchat_async.errors import InvalidValueError
from plugchat_async.models import Chat
from plugchat_async.testing.account import SimulatedAccount, Traffic
from plugchat_async.testing.answers import answer_to, refusal
from plugchat_async.testing.dialects import DIALECTS, Dialect
from plugchat_async.testing.faults import Fault
from plugchat_async.testing.quirks import RETRY_AFTER, ContentType, Method, Order, PastEnd, Quirks

# In an interval, of each kind.
_MAX_EVENTS = 10_000


@frozen
class SimulatedRequest:
    """A request that the simulator got: its method, path, headers (names in lower case), and parameters as sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    page: str | None
    page_size: str | None


class PlugChatSimulator:
    """A Plug Chat account with made-up chats, or several, served over HTTP.

        async with PlugChatSimulator(chats=1000, seed=7) as sim, PlugChatSession(sim.token, base_url=sim.base_url) as s:
            assert await s.list_chats() == list(sim.chats)

    It keeps to the vendor's page: the raw token in Authorization (401), GET only (405 with Allow), Content-Type
    application/json (415), `page` from 1 and `pageSize` from 1 (400). Chats are spelled as the gateway does today.

    dialect: "gateway" (default): times are in milliseconds, half of the chats have no phone but a lid, more than half
        have no time, and a person has up to five chats of the list. "documented": as the vendor's page of 2021 has
        them. Times are in seconds, and each chat has a phone and a time.
    chats: how many chats the account has (default 100). The same `seed` (default 0) makes the same chats.
    latency: seconds before each answer (default 0.0).
    connected: whether the phone is connected to WhatsApp (default True). If not, the list is empty (200 and `[]`), as
        the gateway's is then, and the status says so. The attribute `connected` may be changed at any time.
    token: what Authorization must hold (default "simulated-token"). port: where to listen (default 0: any free port).

    What it does in its own way, if it is told to:

    first_page: what the first page is called, 1 (default) or 0.
    max_page_size: silently cap pageSize, as some servers do (default None). ignore_page_size: so many chats are on each
        page, whatever is asked for (default None). refuse_page_size: answer 400 if more are asked for (default None).
    ignore_page: answer each request with the first page (default False).
    past_end: what a page past the end holds: "empty" (default), the "first" or the "last" page again.
    order: in which the chats are listed: "newest" first (default), "oldest" first, or "shuffled".
    pinned: how many of the last chats of the list are on top of it (default 0). In the dialect "gateway" they are
        chosen once, and their `is_pinned` is True.
    ties: so many neighbours have the same last_message_time (default 1). ties_move: chats of the same time come in
        another order in each answer (default False).
    twice: how many of the first chats are listed twice (default 0).
    content_type: whether Content-Type: application/json is "required" (default), "refused", or "ignored".
    method: which one is allowed, "GET" (default) or "POST".
    rate_limit: how many requests are answered, in all; later ones get 429 with Retry-After: 30 (default None). All
        answers then have X-RateLimit-Limit and X-RateLimit-Remaining.

    `chats` are those of the account, newest first and those without a time last, however they are listed.

    `add_account` gives it more accounts, each with a token of its own.

    InvalidValueError and InvalidTypeError name an argument that is out of range.
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
        dialect: Dialect = "gateway",
        first_page: int = 1,
        max_page_size: int | None = None,
        ignore_page_size: int | None = None,
        refuse_page_size: int | None = None,
        ignore_page: bool = False,
        past_end: PastEnd = "empty",
        order: Order = "newest",
        pinned: int = 0,
        ties: int = 1,
        ties_move: bool = False,
        twice: int = 0,
        content_type: ContentType = "required",
        method: Method = "GET",
        rate_limit: int | None = None,
    ) -> None:
        check_int("chats", chats, minimum=0)
        check_int("port", port, minimum=0, maximum=65535)
        check_seconds("latency", latency, zero=True)
        check_type("connected", connected, bool)
        check_choice("dialect", dialect, DIALECTS)
        self._quirks = Quirks(
            first_page=first_page,
            max_page_size=max_page_size,
            ignore_page_size=ignore_page_size,
            refuse_page_size=refuse_page_size,
            ignore_page=ignore_page,
            past_end=past_end,
            order=order,
            pinned=pinned,
            ties=ties,
            ties_move=ties_move,
            twice=twice,
            content_type=content_type,
            method=method,
            rate_limit=rate_limit,
        )
        self._answered = 0
        self._dialect: Dialect = dialect
        self._account = self._make_account(chats, seed, token)
        self._account.connected = connected
        self._accounts = {token: self._account}
        self._latency = latency
        self._port = port
        self._scripts: defaultdict[str | None, deque[Fault]] = defaultdict(deque)
        self._runner: web.AppRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._every: float | None = None
        self._traffic = Traffic()
        self._clock: asyncio.Task[None] | None = None
        self.token = token
        self.requests: list[SimulatedRequest] = []
        """What was asked for so far, in order."""

    @property
    def base_url(self) -> str:
        """Where it listens: http://127.0.0.1:port. RuntimeError before it is started."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the simulator is not running: use `async with PlugChatSimulator() as sim`")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @property
    def chats(self) -> tuple[Chat, ...]:
        """The account's chats as they are now, newest first, those without a time last."""
        return self._account.chats

    @property
    def connected(self) -> bool:
        """Whether the account's phone is connected to WhatsApp."""
        return self._account.connected

    @connected.setter
    def connected(self, value: bool) -> None:
        self._account.connected = value

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("the simulator runs already: make another one")
        app = web.Application()
        for path in (CHATS_PATH, STATUS_PATH):
            app.router.add_route("*", path, self._handle)
        # A client that is gone cancels its handler: so "hang" ends with the client.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        self._runner = runner
        self._loop = asyncio.get_running_loop()
        self._start_clock()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._loop = None
        if self._clock is not None:
            self._clock.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def add_account(self, token: str, chats: int = 100, *, seed: int | None = None) -> SimulatedAccount:
        """Serve one more account, to requests with its token. The same `seed` makes the same chats (default: its own).

        It has the simulator's dialect.

        What it gives has `chats` (those that the account has now), and, like the simulator for its first account,
        `connected`, `receive_message`, `new_chat`, `delete_chat` and `mark_read`. InvalidValueError if there is an
        account with that token, or it can't be one.
        """
        check_int("chats", chats, minimum=0)
        problem = token_problem(token)
        if problem is not None:
            raise problem
        if token in self._accounts:
            raise InvalidValueError("there is an account with that token", "Give each account a token of its own.")
        seed = 1_000_003 * len(self._accounts) if seed is None else seed
        account = self._accounts[token] = self._make_account(chats, seed, token)
        account.begin_traffic(self._traffic, seed=seed)
        return account

    def _make_account(self, chats: int, seed: int, token: str) -> SimulatedAccount:
        return SimulatedAccount(chats, seed=seed, token=token, dialect=self._dialect, pinned=self._quirks.pinned)

    def script(self, *faults: Fault, token: str | None = None) -> None:
        """Give the next requests these fates, one each, in order. Later ones are answered honestly.

        token: only requests with this token (default None: those of all accounts that have no fate of their own).
        """
        self._scripts[token].extend(faults)

    def receive_message(self, chat: Chat | str) -> Chat:
        """Let a message arrive: the chat jumps to the front, one more unread. KeyError if there is no such chat."""
        return self._account.receive_message(chat)

    def new_chat(self) -> Chat:
        """Let somebody write for the first time: a new chat in front."""
        return self._account.new_chat()

    def delete_chat(self, chat: Chat | str) -> Chat:
        """Take a chat off the list and give it back. KeyError if there is no such chat."""
        return self._account.delete_chat(chat)

    def mark_read(self, chat: Chat | str) -> Chat:
        """Let the owner read a chat: no more unread, and it stays where it is. KeyError if there is no such chat."""
        return self._account.mark_read(chat)

    def traffic(
        self,
        *,
        bumps: float = 0.0,
        inserts: float = 0.0,
        deletes: float = 0.0,
        seed: int = 0,
        every: float | None = None,
    ) -> None:
        """Let the lists of all accounts move from now on: while an account's requests are answered, or by the clock.

        bumps, inserts, deletes: how many chats, on average, get a message, are new, or are deleted in an interval
            (default 0.0 each, at most 10,000; the call without arguments ends the traffic). Which ones is up to chance.
        seed: the same one makes the same things happen (default 0).
        every: seconds that an interval lasts (default None: it lasts from one request to the next).

        InvalidValueError and InvalidTypeError name an argument that is out of range. RuntimeError if a clock is to be
        started or stopped from outside the running simulator's event loop.
        """
        traffic = Traffic(
            bumps=check_number("bumps", bumps, maximum=_MAX_EVENTS),
            inserts=check_number("inserts", inserts, maximum=_MAX_EVENTS),
            deletes=check_number("deletes", deletes, maximum=_MAX_EVENTS),
        )
        interval = None if every is None else check_seconds("every", every, zero=False)
        moves_clock = self._loop is not None and (interval is not None or self._clock is not None)
        if moves_clock and self._loop is not _running_loop():
            raise RuntimeError("call traffic(every=...) in the simulator's event loop, or before it is started")
        self._every = interval
        self._traffic = traffic
        for number, account in enumerate(self._accounts.values()):
            account.begin_traffic(traffic, seed=seed + number)
        if moves_clock:
            self._start_clock()

    def _start_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._clock = None if self._every is None else asyncio.create_task(self._tick(self._every))

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
        # A fault is a request's, in the order of arrival: it is taken before anything is waited for.
        token = request.headers.get(hdrs.AUTHORIZATION)
        script = self._scripts[token if self._scripts.get(token) else None]
        fault = script.popleft() if script else Fault.none()
        if self._latency:
            await asyncio.sleep(self._latency)
        account = self._accounts.get(token or "")
        answer = self._within_limit(self._answer(request, account))
        if self._every is None and account is not None:
            account.pass_interval()
        return await fault.apply(request, answer)

    def _answer(self, request: web.Request, account: SimulatedAccount | None) -> web.Response:
        return answer_to(request, account, self._quirks, self._dialect, self._answered)

    def _within_limit(self, answer: web.Response) -> web.Response:
        """Count an answer, and put another one in its place where that is too many."""
        self._answered += 1
        limit = self._quirks.rate_limit
        if limit is None:
            return answer
        if self._answered > limit:
            answer = refusal(429, "too many requests", {hdrs.RETRY_AFTER: str(RETRY_AFTER)})
        answer.headers["X-RateLimit-Limit"] = str(limit)
        answer.headers["X-RateLimit-Remaining"] = str(max(0, limit - self._answered))
        return answer


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
