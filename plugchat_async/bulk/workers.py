"""Workers that walk many accounts, several at a time, and hand over their pages and results one by one."""

import asyncio
import logging
from functools import partial
from typing import Any

from attrs import field, frozen

from plugchat_async._http.shared_resources import SharedResources
from plugchat_async._http.token import fingerprint, hidden_token
from plugchat_async._http.transport import Transport
from plugchat_async._http.urls import parse_base_url
from plugchat_async._internal.iterables import Source
from plugchat_async._internal.tasks import cancel_all
from plugchat_async._internal.validation import check_int
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.options import WalkSettings
from plugchat_async.bulk.accounts import Account
from plugchat_async.calls import CHATS, Call
from plugchat_async.errors import ConfigurationError, PlugChatError
from plugchat_async.models import Chat, Page, WalkReport
from plugchat_async.server_traits import ServerTraits

logger = logging.getLogger("plugchat_async.bulk")

MAX_CONCURRENCY = 100_000
# Two retries of a page, which every account can pay for itself when the shared budget is used up.
_RESERVE = 28


@frozen
class AccountResult:
    """The result of one account.

    Attributes:
        account: The account.
        chats: All of its chats, or the items of another call, in the service's order; () if it failed or its pages were
            streamed.
        error: The error with which it failed, or None. `error.account` is the account's name.
        report: The report of its walk, or None if none began.
    """

    account: Account
    chats: tuple[Chat, ...] = field(repr=lambda chats: f"<{len(chats)} chats>")
    error: PlugChatError | None = None
    report: WalkReport | None = None


@frozen
class _End:
    """The end: of all accounts, or because of an error that no account has caused."""

    error: BaseException | None = None


Item = tuple[Account, Page] | AccountResult


class WorkerPool:
    """Walks accounts. `next` returns pages and results, `close` must be called at the end.

    At most `concurrency` accounts are walked at a time, and no more are taken from `accounts`. A worker hands over a
    page or a result before it continues, so that no more is held in memory than the workers hold. They take turns: none
    hands over twice while another one waits.

    Args:
        accounts: The accounts.
        resources: What their requests share.
        settings: The options of each walk.
        concurrency: The number of workers, at most.
        origin: The base URL of accounts that have none.
        isolate_connections: Whether each account has connections of its own.
        pages: Whether pages are handed over as they come, or all chats with an account's result.
        server_traits: What is known of the server at `origin` (default None: nothing).
        call: What is listed of each account (default: chats).
    """

    def __init__(
        self,
        accounts: Source[Account],
        resources: SharedResources,
        settings: WalkSettings,
        *,
        concurrency: int,
        origin: str,
        isolate_connections: bool,
        pages: bool,
        server_traits: ServerTraits | None = None,
        call: Call[Any] = CHATS,
    ) -> None:
        self._accounts = accounts
        self._resources = resources
        self._settings = settings
        self._concurrency = check_int("concurrency", concurrency, minimum=1, maximum=MAX_CONCURRENCY)
        self._origin = origin
        self._transport = None if isolate_connections else resources.transport()
        self._pages = pages
        self._call = call
        # What is known of a server holds for all its accounts.
        self._traits = {origin: ServerTraits() if server_traits is None else server_traits.copy()}
        self._found: asyncio.Queue[Item | _End] = asyncio.Queue(1)
        self._turn = asyncio.Lock()
        self._supervisor: asyncio.Task[None] | None = None
        # Set when a worker has taken an account, so that another one may be needed, or has ended, so that none is.
        self._looked = asyncio.Event()
        self._is_over = False
        self._closing = False
        self._error: BaseException | None = None

    async def next(self) -> Item | None:
        """Return the next page or result, or None when all accounts are done."""
        if self._supervisor is None:
            if self._transport is not None:
                self._transport.open()
            self._supervisor = asyncio.create_task(self._supervise())
            self._supervisor.add_done_callback(self._look_at_end)
        item = await self._found.get()
        if isinstance(item, _End):
            if item.error is not None:
                raise item.error
            return None
        return item

    async def close(self) -> None:
        """Cancel all walks, wait until they have ended, and close the connections."""
        self._closing = True
        try:
            if self._supervisor is not None:
                await cancel_all([self._supervisor])
        finally:
            if self._transport is not None:
                await self._transport.close()

    async def _supervise(self) -> None:
        async with asyncio.TaskGroup() as group:
            # Here, not in the workers: with eager tasks each would run inside of the one that has hired it.
            for _ in range(self._concurrency):
                self._looked.clear()
                group.create_task(self._work())
                await self._looked.wait()
                if self._is_over:
                    break
        await self._hand_over(_End(self._error))

    def _look_at_end(self, supervisor: asyncio.Task[None]) -> None:
        """Wake the caller if it waits in vain: somebody has cancelled all tasks but its own."""
        if not self._closing and supervisor.cancelled():
            while not self._found.empty():
                self._found.get_nowait()
            self._found.put_nowait(_End(_cancelled_by_others()))

    async def _work(self) -> None:
        """Walk accounts until there is none. An error that ends this is handed over: nobody waits for a dead worker."""
        try:
            # An iterable may answer its cancellation with one more account.
            while (account := await self._accounts.next()) is not None and not self._closing:
                self._looked.set()  # there may be one more
                await self._hand_over(await self._walk(account))
        except BaseException as error:
            # `cancelling` of this task itself says nothing: iterables use it for timeouts of their own.
            if self._closing or (self._supervisor is not None and self._supervisor.cancelling()):
                if isinstance(error, asyncio.CancelledError):
                    raise
                name = type(error).__name__
                logger.warning("accounts raised %s after the loop was left", name, extra={"plugchat_error": name})
                return
            if isinstance(error, asyncio.CancelledError):
                error = _cancelled_by_others()
            self._error = self._error or error  # should this task be cancelled once more
            await self._hand_over(_End(error))
        finally:
            self._is_over = True
            self._looked.set()

    async def _hand_over(self, item: Item | _End) -> None:
        if self._closing:
            raise asyncio.CancelledError  # nobody waits for it any more
        async with self._turn:  # first come, first served: a queue alone is not fair
            await self._found.put(item)

    async def _walk(self, account: Account) -> AccountResult:
        """Walk one account. Its errors do not reach the others."""
        chats: list[Chat] = []
        transport = self._transport
        walk: ChatWalk | None = None
        error: PlugChatError | None = None
        try:
            if transport is None:
                transport = self._resources.transport()
                transport.open()
            walk = self._start(account, transport)
            async for page in walk.pages():
                if self._pages:
                    await self._hand_over((account, page))
                else:
                    chats += page.chats
                del page  # while the next one is awaited
        except PlugChatError as caught:
            error = caught
        finally:
            try:
                if walk is not None:
                    await walk.discard()
            finally:
                if self._transport is None and transport is not None:
                    await transport.close()
        report = None if walk is None or not walk.report.requests else walk.report
        if error is None:
            return AccountResult(account, tuple(chats), None, report)
        error.account = account.name
        if not self._pages:
            error.checkpoint = None  # the chats before it are lost
        return AccountResult(account, (), error, report)

    def _start(self, account: Account, transport: Transport) -> ChatWalk:
        origin: str | PlugChatError = self._origin
        if account.base_url is not None:
            origin = parse_base_url(account.base_url, insecure_http=self._resources.insecure_http)
        token = hidden_token(account.token)
        if isinstance(token, PlugChatError):
            raise token
        if isinstance(origin, PlugChatError):
            raise origin
        fetcher = self._resources.page_fetcher(transport, token, origin, reserve=_RESERVE, account=account.name)
        if self._call != CHATS:
            fetcher = fetcher.for_endpoint(self._call.path, self._call.item)
        traits = self._traits.setdefault(origin, ServerTraits())
        # A caller of `stream` may resume a failed account in a session of its own.
        return ChatWalk(fetcher, self._settings, traits, None, partial(fingerprint, token, origin, None))


def _cancelled_by_others() -> ConfigurationError:
    return ConfigurationError(
        "the tasks of this call were cancelled by other code",
        "In `accounts`, do not yield inside a timeout or a task group (PEP 789), and cancel only your own tasks.",
    )
