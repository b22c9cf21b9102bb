"""Workers that walk many accounts, several at a time, and hand over what they find one by one."""

import asyncio
import logging

from attrs import evolve, field, frozen

from plugchat_async._http.resources import SharedResources
from plugchat_async._http.token import hidden_token
from plugchat_async._http.transport import Transport
from plugchat_async._http.urls import parse_base_url
from plugchat_async._internal.iterables import Source
from plugchat_async._internal.tasks import cancel_all
from plugchat_async._internal.validation import check_int
from plugchat_async._pagination import ServerTraits
from plugchat_async._pagination.runner import ChatWalk, WalkOptions
from plugchat_async.bulk.accounts import Account
from plugchat_async.errors import ConfigurationError, PlugChatError
from plugchat_async.models import Chat, Page, WalkReport

logger = logging.getLogger("plugchat_async.bulk")

MAX_CONCURRENCY = 100_000
# Two retries of a page that every account can pay for itself, whatever the others have used up.
_RESERVE = 28


@frozen
class AccountResult:
    """What came of one account.

    account: which. chats: all of them, in the service's order, or () if it failed or its pages were streamed.
    error: why it failed, or None; `error.account` is its name. report: what its walk did, or None if none began.
    """

    account: Account
    chats: tuple[Chat, ...] = field(repr=lambda chats: f"<{len(chats)} chats>")
    error: PlugChatError | None = None
    report: WalkReport | None = None


@frozen
class _End:
    """There is nothing more, or something went wrong that is no account's fault."""

    error: BaseException | None = None


Item = tuple[Account, Page] | AccountResult


class WorkerPool:
    """Walks accounts. `next` gives what is found, `close` must be called at the end.

    At most `concurrency` accounts are under way, and no more are taken from `accounts`. What a worker has found it
    hands over before it goes on, so that no more is held than the workers hold. They take turns: none hands over
    twice while another one waits.

    origin: the trimmed base URL of accounts that have none.
    pages: whether pages are given as they come, or all chats with an account's result.
    """

    def __init__(
        self,
        accounts: Source[Account],
        resources: SharedResources,
        options: WalkOptions,
        *,
        concurrency: int,
        origin: str,
        isolate_connections: bool,
        pages: bool,
    ) -> None:
        self._accounts = accounts
        self._commons = resources
        self._options = options
        self._concurrency = check_int("concurrency", concurrency, minimum=1, maximum=MAX_CONCURRENCY)
        self._origin = origin
        self._transport = None if isolate_connections else resources.transport()
        self._pages = pages
        self._found: asyncio.Queue[Item | _End] = asyncio.Queue(1)
        self._turn = asyncio.Lock()
        self._supervisor: asyncio.Task[None] | None = None
        self._hired = 0
        self._closing = False
        self._error: BaseException | None = None

    async def next(self) -> Item | None:
        """Give the next page or result, or None when all accounts are done."""
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
        """Cancel all that is under way, wait until it is gone, and close the connections."""
        self._closing = True
        try:
            if self._supervisor is not None:
                await cancel_all([self._supervisor])
        finally:
            if self._transport is not None:
                await self._transport.close()

    async def _supervise(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._hire(group)
        await self._hand_over(_End(self._error))

    def _look_at_end(self, supervisor: asyncio.Task[None]) -> None:
        """Wake who waits for what will not come any more: somebody has cancelled all tasks but that one."""
        if not self._closing and supervisor.cancelled():
            while not self._found.empty():
                self._found.get_nowait()
            self._found.put_nowait(_End(_cancelled_by_others()))

    def _hire(self, group: asyncio.TaskGroup) -> None:
        if self._hired < self._concurrency:
            self._hired += 1
            group.create_task(self._work(group))

    async def _work(self, group: asyncio.TaskGroup) -> None:
        """Walk accounts until there is none. Whatever ends that is handed over: nobody waits for a dead worker."""
        try:
            # An iterable may answer its cancelling with one more account.
            while (account := await self._accounts.next()) is not None and not self._closing:
                self._hire(group)  # there may be one more
                await self._hand_over(await self._walk(account))
        except BaseException as error:
            # Not this task's own cancelling: iterables use that for their own purposes.
            if self._closing or (self._supervisor is not None and self._supervisor.cancelling()):
                if isinstance(error, asyncio.CancelledError):
                    raise
                name = type(error).__name__
                logger.warning("accounts failed when it was left: %s", name, extra={"plugchat_error": name})
                return
            if isinstance(error, asyncio.CancelledError):
                error = _cancelled_by_others()
            self._error = self._error or error  # should this task be cancelled once more
            await self._hand_over(_End(error))

    async def _hand_over(self, item: Item | _End) -> None:
        if self._closing:
            raise asyncio.CancelledError  # nobody takes it any more
        async with self._turn:  # first come, first served: a queue alone lets others push in
            await self._found.put(item)

    async def _walk(self, account: Account) -> AccountResult:
        """Walk one account. Whatever its service does, the others do not see it."""
        chats: list[Chat] = []
        reports: list[WalkReport] = []
        transport = self._transport
        error: PlugChatError | None = None
        try:
            if transport is None:
                transport = self._commons.transport()
                transport.open()
            await self._drive(account, transport, chats, reports)
        except PlugChatError as caught:
            error = caught
        finally:
            if self._transport is None and transport is not None:
                await transport.close()
        report = reports[0] if reports else None
        if error is None:
            return AccountResult(account, tuple(chats), None, report)
        error.account = account.name
        if not self._pages:
            error.checkpoint = None  # what it would go on behind is lost
        return AccountResult(account, (), error, report)

    async def _drive(
        self, account: Account, transport: Transport, chats: list[Chat], reports: list[WalkReport]
    ) -> None:
        origin = self._origin if account.base_url is None else parse_base_url(account.base_url)
        token = hidden_token(account.token)
        if isinstance(token, PlugChatError):
            raise token
        if isinstance(origin, PlugChatError):
            raise origin
        exchange = self._commons.exchange(transport, token, origin, reserve=_RESERVE, account=account.name)
        options = evolve(self._options, on_report=reports.append)
        drive = ChatWalk(
            options.state(),
            options,
            fetch=exchange.fetch,
            sizes=ServerTraits(),
            monotonic=self._commons.clock.monotonic,
            account=account.name,
            dispatcher=self._commons.dispatcher,
        )
        left = options.limit
        try:
            while left != 0 and (page := await drive.next()) is not None:
                if left is not None:
                    page = _cut(page, left)
                    left -= len(page.chats)
                if self._pages:
                    await self._hand_over((account, page))
                else:
                    chats += page.chats
                del page  # while the next one is waited for
        finally:
            await drive.close()


def _cut(page: Page, most: int) -> Page:
    return page if len(page.chats) <= most else evolve(page, chats=page.chats[:most])


def _cancelled_by_others() -> ConfigurationError:
    return ConfigurationError(
        "fetching was cancelled from within",
        "Let `accounts` hold no timeout and no task group across a yield (PEP 789), and cancel no tasks but your own.",
    )
