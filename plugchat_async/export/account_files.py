"""The files of many accounts, written by threads while their pages arrive."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, ParamSpec

from attrs import define, evolve, field

from plugchat_async._internal.threads import Threads
from plugchat_async.bulk.workers import AccountResult, Item, WorkerPool
from plugchat_async.errors import InvalidValueError, PlugChatError
from plugchat_async.export.people import merge_people
from plugchat_async.export.results import AccountExport
from plugchat_async.export.writers import ChatWriter
from plugchat_async.models import Chat

P = ParamSpec("P")

# Files that are written at a time. A disk flushes several in about the time of one.
WRITERS: Final = 16
# How many chats of an account to collect before they are written: to call a thread takes as long as to write some ten.
_BATCH: Final = 500

OnExports = Callable[[Sequence[AccountExport]], object]


@define(eq=False)
class _Account:
    """An account that is being written. Only one thread at a time works for it, in the order of its pages.

    Attributes:
        name: Its name.
        chats: Chats that are not yet written.
        writer: Its file, when it is begun.
        error: Why the format can't represent one of its chats.
        turn: Who writes next.
    """

    name: str
    chats: list[Chat] = field(factory=list[Chat])
    writer: ChatWriter | None = None
    error: PlugChatError | None = None
    turn: asyncio.Lock = field(factory=asyncio.Lock)


class AccountFiles:
    """Writes the accounts of a pool, each with a writer of its own, off the event loop.

    If the pool returns pages, some hundred chats of each account are in memory at a time. If it returns whole accounts,
    the rows of each person are merged.

    Args:
        threads: The threads that write. Those of one account take turns.
        writer_for: Opens the writer of an account, by its name. Called in a thread, as all but `tell`.
        write_down: Called with the results of some accounts, when their files are written; one call at a time.
        tell: Called with the same results after that, in the event loop.
        file_to_keep: Called with the name of an account whose list is empty. Returns the file to keep in place of one
            without chats, or None (default: always None).
    """

    def __init__(
        self,
        threads: Threads,
        writer_for: Callable[[str], ChatWriter],
        write_down: OnExports,
        tell: OnExports,
        file_to_keep: Callable[[str], Path | None] = lambda _: None,
    ) -> None:
        self._threads = threads
        self._writer_for = writer_for
        self._write_down = write_down
        self._tell = tell
        self._file_to_keep = file_to_keep
        self._accounts: dict[str, _Account] = {}
        self._written: deque[AccountExport] = deque()  # but not yet written down
        self._writing_down = threading.Lock()
        self._free = asyncio.Semaphore(WRITERS)
        self._caller: asyncio.Task[Any] | None = None

    async def write_all(self, pool: WorkerPool) -> None:
        """Write all accounts of a pool, and close it.

        After an error, or if this is cancelled, what is finished is kept, and nothing else.
        """
        error: BaseException | None = None
        self._caller = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as group:
                while (item := await pool.next()) is not None:
                    await self._take(item, group)
                    del item  # not kept in memory while the next one is fetched
        except BaseExceptionGroup as several:
            error = several.exceptions[0]  # the others are of the same disk
        finally:
            try:
                await pool.close()
            finally:
                await self._threads.run(self._discard_all)
        if error is not None:
            try:
                raise error
            finally:
                del error  # its frames would hold this one

    async def _take(self, item: Item, group: asyncio.TaskGroup) -> None:
        """Take a page or a result. Wait only while too much is being written."""
        name = item.account.name if isinstance(item, AccountResult) else item[0].name
        account = self._accounts.get(name) or _Account(name)
        self._accounts[name] = account
        if isinstance(item, AccountResult):
            await self._free.acquire()
            group.create_task(self._in_turn(account, self._finish, account, item))
            return
        account.chats += item[1].chats
        if len(account.chats) >= _BATCH:
            await self._free.acquire()
            chats, account.chats = account.chats, []
            group.create_task(self._in_turn(account, self._add, account, chats))

    async def _in_turn(
        self, account: _Account, write: Callable[P, Sequence[AccountExport]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        try:
            async with account.turn:
                exports = await self._threads.run(write, *args, **kwargs)
            self._tell_or_cancel(exports)
        finally:
            self._free.release()

    def _tell_or_cancel(self, exports: Sequence[AccountExport]) -> None:
        """Tell results. Who cancels the current task then, or raises CancelledError, means the one of `write_all`."""
        task, caller = asyncio.current_task(), self._caller
        assert task is not None, "called by a task of `write_all`"
        assert caller is not None, "and that was called by one"
        before = task.cancelling()
        try:
            self._tell(exports)
        except asyncio.CancelledError:
            caller.cancel()
            raise
        if task.cancelling() > before:
            caller.cancel()

    def _add(self, account: _Account, chats: Sequence[Chat]) -> Sequence[AccountExport]:
        """Write chats. If the format can't represent one, the account fails. Return no results."""
        if account.error is not None:
            return ()
        if account.writer is None:
            account.writer = self._writer_for(account.name)
        try:
            account.writer.write(chats)
        except InvalidValueError as error:
            account.writer.discard()
            account.error = error
        return ()

    def _finish(self, account: _Account, result: AccountResult) -> Sequence[AccountExport]:
        """Commit or discard an account's file, and return the results that were written down: its own, or others."""
        if result.error is None:
            # A whole account, or what is left of one with pages, perhaps nothing.
            self._add(account, account.chats or merge_people(result.chats))
        self._written.append(self._end_of(account, result))
        del self._accounts[account.name]
        with self._writing_down:
            # While this waited, others have come, or somebody has written this one down.
            exports = [self._written.popleft() for _ in range(len(self._written))]
            if exports:
                self._write_down(exports)
        return exports

    def _end_of(self, account: _Account, result: AccountResult) -> AccountExport:
        error, writer, report = account.error, account.writer, result.report
        if error is None:
            error = result.error
        else:
            error.account = account.name
        if error is not None:
            if writer is not None:
                writer.discard()
            error.__traceback__ = None  # its frames hold pages
            error.checkpoint = None  # the chats before it were discarded
            return AccountExport(account.name, None, 0, error, report=report)
        assert writer is not None, "an account without an error has a writer"
        verified, problems = (False, 0) if report is None else (report.verified, report.problems)
        export = AccountExport(
            account.name, writer.path, writer.rows, verified=verified, report=report, problems=problems
        )
        kept = self._file_to_keep(account.name) if export.empty else None
        if kept is not None:
            writer.discard()
            return evolve(export, file=kept, verified=False, kept=True)
        writer.commit()
        return export

    def _discard_all(self) -> None:
        """Discard what is not finished."""
        for account in self._accounts.values():
            if account.writer is not None:
                account.writer.discard()
