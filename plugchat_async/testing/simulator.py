"""PlugChatSimulator: an honest server of the vendor's "get chats" call, on loopback, in the caller's event loop."""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self

from aiohttp import hdrs, web
from attrs import frozen

from plugchat_async._arguments import check_choice, check_int, check_number, check_optional_int, check_seconds
from plugchat_async._wire import CHATS_PATH, JSON_TYPE, token_problem
from plugchat_async.errors import InvalidValueError
from plugchat_async.models import Chat
from plugchat_async.testing.account import SimulatedAccount, Traffic
from plugchat_async.testing.faults import Fault

PastEnd = Literal["empty", "first", "last"]

# In an interval, of each kind.
_MOST_EVENTS = 10_000


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
    application/json (415), `page` from 1 and `pageSize` from 1 (400), and values spelled as in the vendor's example.

    chats: how many chats the account has (default 100). The same `seed` (default 0) makes the same chats.
    latency: seconds before each answer (default 0.0).
    token: what Authorization must hold (default "simulated-token"). port: where to listen (default 0: any free port).
    max_page_size: silently cap pageSize, as some servers do (default None).
    ignore_page: answer each request with the first page (default False).
    past_end: what a page past the end holds: "empty" (default), the "first" or the "last" page again.

    `add_account` gives it more accounts, each with a token of its own.

    InvalidValueError and InvalidTypeError name an argument that is out of range.
    """

    def __init__(
        self,
        chats: int = 100,
        *,
        seed: int = 0,
        latency: float = 0.0,
        token: str = "simulated-token",  # noqa: S107 - it protects nothing
        port: int = 0,
        max_page_size: int | None = None,
        ignore_page: bool = False,
        past_end: PastEnd = "empty",
    ) -> None:
        check_int("chats", chats, least=0)
        check_int("port", port, least=0, most=65535)
        check_optional_int("max_page_size", max_page_size, least=1)
        check_seconds("latency", latency, zero=True)
        check_choice("past_end", past_end, ("empty", "first", "last"))
        self._account = SimulatedAccount(chats, seed=seed, token=token)
        self._accounts = {token: self._account}
        self._latency = latency
        self._port = port
        self._max_page_size = max_page_size
        self._ignore_page = ignore_page
        self._past_end: PastEnd = past_end
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
        """The account's chats as they are now, newest first."""
        return self._account.chats

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("the simulator runs already: make another one")
        app = web.Application()
        app.router.add_route("*", CHATS_PATH, self._handle)
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

        What it gives has `chats` (those that the account has now), and, like the simulator for its first account,
        `receive_message`, `new_chat`, `delete_chat` and `mark_read`. InvalidValueError if there is an account with
        that token, or it can't be one.
        """
        check_int("chats", chats, least=0)
        problem = token_problem(token)
        if problem is not None:
            raise problem
        if token in self._accounts:
            raise InvalidValueError("there is an account with that token", "Give each account a token of its own.")
        seed = 1_000_003 * len(self._accounts) if seed is None else seed
        account = self._accounts[token] = SimulatedAccount(chats, seed=seed, token=token)
        account.begin_traffic(self._traffic, seed=seed)
        return account

    def script(self, *faults: Fault, token: str | None = None) -> None:
        """Give the next requests these fates, one each, in order. Later ones are answered honestly.

        token: only requests with this token (default None: those of all accounts that have no fate of their own).
        """
        self._scripts[token].extend(faults)

    def receive_message(self, phone: str) -> Chat:
        """Let a message arrive: the chat jumps to the front, one more unread. KeyError if there is no such chat."""
        return self._account.receive_message(phone)

    def new_chat(self) -> Chat:
        """Let somebody write for the first time: a new chat in front."""
        return self._account.new_chat()

    def delete_chat(self, phone: str) -> Chat:
        """Take a chat off the list and give it back. KeyError if there is no such chat."""
        return self._account.delete_chat(phone)

    def mark_read(self, phone: str) -> Chat:
        """Let the owner read a chat: no more unread, and it stays where it is. KeyError if there is no such chat."""
        return self._account.mark_read(phone)

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
            bumps=check_number("bumps", bumps, most=_MOST_EVENTS),
            inserts=check_number("inserts", inserts, most=_MOST_EVENTS),
            deletes=check_number("deletes", deletes, most=_MOST_EVENTS),
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
        answer = self._answer(request, account)
        if self._every is None and account is not None:
            account.pass_interval()
        return await fault.apply(request, answer)

    def _answer(self, request: web.Request, account: SimulatedAccount | None) -> web.Response:
        if request.method != hdrs.METH_GET:
            return _refusal(405, f"{request.method} is not allowed here, use GET", {"Allow": "GET"})
        if account is None:
            return _refusal(401, "the token is missing or unknown")
        if request.content_type != JSON_TYPE or hdrs.CONTENT_TYPE not in request.headers:
            return _refusal(415, "send Content-Type: application/json", {"Accept": JSON_TYPE})
        page, size = _positive(request.query.get("page")), _positive(request.query.get("pageSize"))
        if page is None or size is None:
            return _refusal(400, "page and pageSize must be positive integers")
        body = json.dumps([spell(chat) for chat in self._window(account, page, size)], ensure_ascii=False)
        return web.Response(body=body.encode(), content_type=JSON_TYPE, charset="utf-8")

    def _window(self, account: SimulatedAccount, page: int, size: int) -> list[Chat]:
        size = size if self._max_page_size is None else min(size, self._max_page_size)
        last = max(1, -(-len(account) // size))
        if self._ignore_page or (page > last and self._past_end == "first"):
            page = 1
        elif page > last and self._past_end == "last":
            page = last
        return account.window(page, size)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _positive(text: str | None) -> int | None:
    # 18 digits are more pages than there are; int() of thousands is refused by Python.
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 and int(text) > 0 else None


def _refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)


def spell(chat: Chat) -> dict[str, object]:
    """Spell a chat as the vendor's example does: nearly everything is a string."""
    time = chat.last_message_time
    return {
        "name": chat.name,
        "phone": chat.phone,
        "unread": str(chat.unread),
        "lastMessageTime": None if time is None else str(int(time.timestamp())),
        "isMuted": "1" if chat.is_muted else "0",
        "isMarkedSpam": "true" if chat.is_marked_spam else "false",
        "profileThumbnail": chat.profile_thumbnail,
        "messagesUnread": chat.messages_unread,
    }
