"""PlugChatSession: a session with one account. It fetches pages, walks the list, and watches it."""

from collections.abc import AsyncGenerator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

from plugchat_async._http.environment import BASE_URL_VARIABLE, PREFIX, TOKEN_VARIABLE, FromEnvironment
from plugchat_async._http.options import HiddenOptions, RequestSettings, SessionOptions
from plugchat_async._http.secret import SecretText
from plugchat_async._http.shared_resources import SharedResources
from plugchat_async._http.token import TokenFunction, fingerprint, hidden_token
from plugchat_async._internal.validation import check_int, check_options, check_type
from plugchat_async._items import ItemT
from plugchat_async._pagination.account_list import AccountList, items_of, list_of, pages_of
from plugchat_async._pagination.account_mark import Fingerprint
from plugchat_async._pagination.chat_walk import ChatWalk
from plugchat_async._pagination.options import WalkOptions, WalkSettings
from plugchat_async.calls import CHATS, CONTACTS, PENDING_CHATS, Call, Contact, PendingChat
from plugchat_async.errors import PlugChatError
from plugchat_async.models import AccountStatus, Chat, ChatEvent, Page
from plugchat_async.server_traits import ServerTraits

if TYPE_CHECKING:
    from plugchat_async.watch import WatchOptions

__all__ = ["BASE_URL_VARIABLE", "TOKEN_VARIABLE", "PlugChatSession"]


class PlugChatSession:
    """A session with one Plug Chat account.

        async with PlugChatSession(token) as plugchat:
            async for chat in plugchat.iter_chats(page_size=100):
                print(chat.name, chat.unread)

    The constructor does no I/O and needs no running event loop. Open the session with `async with`, or with
    `await open()` and `await close()`. It belongs to the event loop in which it was opened.
    """

    def __init__(
        self,
        token: str | SecretText | TokenFunction | FromEnvironment = FromEnvironment(),  # noqa: B008 - frozen
        **options: Unpack[SessionOptions],
    ) -> None:
        """Check the arguments.

        Args:
            token: The account's raw token, as the Authorization header takes it, also as pydantic's SecretStr (default:
                that of the environment variable PLUGCHAT_TOKEN). It is never printed. For tokens that change, a
                function, plain or async, that returns the current one. It is called before each request, one call at
                a time, and once more for a page after 401 or 403, unless the gateway says that another token does not
                help. If it fails, or takes longer than `timeout`, a TokenError is raised.
            **options: See `SessionOptions`.

        Raises:
            InvalidValueError: An argument has a wrong value.
            InvalidTypeError: An argument has a wrong type.
        """
        # First, since a traceback that shows locals asks even a half-made session for its repr.
        self._origin = ""
        # Secrets must not be locals of this frame when an error is raised: a traceback may show them.
        environment = token if isinstance(token, FromEnvironment) else FromEnvironment()
        hidden, unchecked = hidden_token(token), HiddenOptions(cast("dict[str, Any]", options))
        del token, options
        check_options(list(unchecked.options), SessionOptions)
        address = unchecked.take_address(environment)
        if isinstance(hidden, PlugChatError):
            raise hidden
        if isinstance(address, PlugChatError):
            raise address
        self._origin = address.origin
        client_session = unchecked.options.pop("client_session", None)
        traits = unchecked.options.pop("server_traits", None)
        check_type("server_traits", traits, ServerTraits, optional=True)
        settings = RequestSettings(proxy=address.proxy, environment=address.environment, **unchecked.options)
        resources = SharedResources(settings, client_session)
        self._transport = resources.transport()
        self._fetcher = resources.page_fetcher(self._transport, hidden, self._origin)
        self._traits = ServerTraits() if traits is None else traits.copy()
        self._lists: dict[Call[Any], AccountList] = {CHATS: AccountList(self._fetcher, self._traits)}

    @classmethod
    def from_env(cls, *, prefix: str = PREFIX, **options: Unpack[SessionOptions]) -> Self:
        """Return a session with the token and the base URL of environment variables.

        Args:
            prefix: What the names of the variables begin with (default `PLUGCHAT_`). With `SALES_`, the token is that
                of SALES_TOKEN, and the base URL that of SALES_BASE_URL or, if it is not set, of PLUGCHAT_BASE_URL.
            **options: See `SessionOptions`.

        Raises:
            InvalidValueError: The variable with the token is not set, or an option has a wrong value.
            InvalidTypeError: An option has a wrong type.
        """
        hidden = HiddenOptions(cast("dict[str, Any]", options))
        del options  # a traceback may show this frame, and the proxy's URL may hold a password
        return cls(FromEnvironment(prefix), **hidden.options)

    def __repr__(self) -> str:
        state = self._transport.state if "_transport" in vars(self) else "new"
        return f"<PlugChatSession {self._origin} {state}>"

    @property
    def base_url(self) -> str:
        """The checked base URL, without a trailing slash. A repair may send requests to the other documented host."""
        return self._origin

    @property
    def closed(self) -> bool:
        """Whether `close` was called. A session that is not open yet is not closed."""
        return self._transport.state == "closed"

    @property
    def server_traits(self) -> ServerTraits:
        """What is known of the server, a copy. Pass it to a later session to save the requests that found it out."""
        return self._traits.copy()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> Self:
        """Open the session in the running event loop. It sends nothing yet, and can be called again.

        Raises:
            SessionStateError: The session was closed (make a new one), or it or its client_session belongs to another
                event loop.
        """
        self._transport.open()
        return self

    async def close(self) -> None:
        """Close the session, and its connections if they are its own. It can be called again.

        Requests in flight, and those that wait for a retry, end with SessionStateError.
        """
        await self._transport.close()

    async def fetch_page(self, number: int, page_size: int) -> Page:
        """Return one page.

        Args:
            number: The page's number, from 1.
            page_size: The number of chats to request.

        Raises:
            PlugChatError: Any but PaginationError, after repairs and retries; see `plugchat_async.errors`.
        """
        check_int("number", number, minimum=1)
        check_int("page_size", page_size, minimum=1)
        return await self._fetcher.fetch(number, page_size)

    async def fetch_status(self) -> AccountStatus:
        """Return whether the account's phone is connected to WhatsApp. It costs one request.

        While it is not, the gateway answers the call for chats with an empty list.

        Raises:
            PlugChatError: As `fetch_page` raises. ResponseError if the answer is not a status.
        """
        return await self._fetcher.fetch_status()

    def walk_chats(self, page_size: int = 100, **options: Unpack[WalkOptions]) -> ChatWalk:
        """Return a walk over all chats of the account. It requests nothing before it is iterated.

            async with plugchat.walk_chats() as walk:
                async for chat in walk:
                    ...

        Args:
            page_size: The number of chats per request (default 100). If the server caps it, the walk
                detects this, and requests pages of that size.
            **options: See `WalkOptions`.

        Raises:
            InvalidValueError: An argument has a wrong value, or two contradict each other.
            InvalidTypeError: An argument has a wrong type.
            SessionStateError: The session is not open.
        """
        return self.walk(CHATS, page_size, **options)

    def walk(self, call: Call[ItemT], page_size: int = 100, **options: Unpack[WalkOptions]) -> ChatWalk[ItemT]:
        """Return a walk over a list of the vendor, as `walk_chats` does. It requests nothing before it is iterated.

            async with plugchat.walk(CONTACTS) as walk:
                async for contact in walk:
                    ...

        Args:
            call: The call: `CHATS`, `CONTACTS`, `PENDING_CHATS`, or a `Call` of your own. What is found out about page
                sizes and repairs is remembered for each call; the token, limits and retry budget are the account's.
            page_size: The number of items per request (default 100).
            **options: See `WalkOptions`. `consistency` is that of the call by default. A checkpoint can be resumed with
                its own call only.

        Raises:
            InvalidValueError: An argument has a wrong value, or two contradict each other.
            InvalidTypeError: An argument has a wrong type.
            SessionStateError: The session is not open.
        """
        check_type("call", call, Call)
        check_options(options, WalkOptions)
        options.setdefault("consistency", call.consistency)
        return self._walk(WalkSettings(page_size=page_size, **options), call)

    def iter_chats(self, page_size: int = 100, **options: Unpack[WalkOptions]) -> AsyncGenerator[Chat, None]:
        """Yield all chats of the account, in the server's order.

        At the end come those that jumped to its front, and further rows of one person.

        Every chat that exists for the whole walk is yielded exactly once, even when new messages reorder the list. This
        is a shortcut for `walk_chats`, with its arguments and errors. `contextlib.aclosing` ends it early. As with
        every async generator, a step that is cancelled ends it: use `walk_chats` for timeouts around single steps.
        """
        return items_of(partial(self.walk_chats, page_size, **options))

    def iter_pages(self, page_size: int = 100, **options: Unpack[WalkOptions]) -> AsyncGenerator[Page, None]:
        """Yield the pages of the list. A shortcut for `walk_chats(...).pages()`, see `iter_chats`."""
        return pages_of(partial(self.walk_chats, page_size, **options))

    async def list_chats(self, page_size: int = 100, **options: Unpack[WalkOptions]) -> list[Chat]:
        """Return the chats that `iter_chats` yields. If the walk fails, all are lost: its error has no `checkpoint`."""
        return await list_of(partial(self.walk_chats, page_size, **options))

    def iter_contacts(self, page_size: int = 100, **options: Unpack[WalkOptions]) -> AsyncGenerator[Contact, None]:
        """Yield all contacts of the account, in the server's order. A shortcut for `walk(CONTACTS, …)`.

        Contacts have no times, so what is promised for lists without times holds: see the guarantees.
        """
        return items_of(partial(self.walk, CONTACTS, page_size, **options))

    async def list_contacts(self, page_size: int = 100, **options: Unpack[WalkOptions]) -> list[Contact]:
        """Return the contacts that `iter_contacts` yields."""
        return await list_of(partial(self.walk, CONTACTS, page_size, **options))

    def iter_pending_chats(
        self, page_size: int = 100, **options: Unpack[WalkOptions]
    ) -> AsyncGenerator[PendingChat, None]:
        """Yield the chats with unread messages, in the server's order. A shortcut for `walk(PENDING_CHATS, …)`.

        A chat leaves this list when it is read, as if it were deleted, so `consistency` is "strict" by default: you may
        read and answer the chats in the loop. The list must be shorter than `max_page_size`, 1,000 chats, for a proof.
        """
        return items_of(partial(self.walk, PENDING_CHATS, page_size, **options))

    async def list_pending_chats(self, page_size: int = 100, **options: Unpack[WalkOptions]) -> list[PendingChat]:
        """Return the chats that `iter_pending_chats` yields."""
        return await list_of(partial(self.walk, PENDING_CHATS, page_size, **options))

    def watch_chats(self, **options: Unpack["WatchOptions"]) -> AsyncGenerator[ChatEvent, None]:
        """Poll the list, and yield its changes as events: ChatAdded, ChatChanged, ChatRemoved.

            async with aclosing(plugchat.watch_chats(state=WatchState.load("watch.state"))) as watch:
                async for event in watch: ...

        A poll reads the pages of the chats with new messages, usually one. Changes without a message (deleted, read,
        muted, renamed) are found by a full scan: every `full_scan_interval`, and when a chat is missing from the pages
        that were read. Events come in the order of their messages, oldest first: those of the front of the list, then
        those of the full scan. A watch ends only at `max_polls` or `stop`, if they are set.

        A few missing chats are removed by a second poll that proves it, or by a third full scan without proof. If more
        than three are missing, and more than a tenth, or all, they must be missing for ten minutes, and the phone must
        be connected. A removed chat that comes back without a newer message, and an unknown one with an old message,
        cause no event. A list that is not sorted by time is always read as a whole.

        Args:
            **options: See `WatchOptions`.

        Raises:
            InvalidValueError: At once, if an argument has a wrong value; later, if another watch has the state or its
                file, or if the state is another account's.
            InvalidTypeError: At once, if an argument has a wrong type.
        """
        from plugchat_async.watch.deps import WatchDeps  # noqa: PLC0415 - as below
        from plugchat_async.watch.options import WatchOptions, WatchSettings  # noqa: PLC0415 - as below
        from plugchat_async.watch.watcher import Watch  # noqa: PLC0415 - 6 ms that most programs don't need

        check_options(options, WatchOptions)
        fetcher = self._fetcher
        settings = WatchSettings(**options)
        deps = WatchDeps(
            fetcher.fetch,
            self._walk,
            fetcher.pause,
            self._traits,
            fetcher.clock,
            self.fetch_status,
            self._fingerprint_of(settings.account),
        )
        return Watch(deps, settings).events()

    def _fingerprint_of(self, account: str | None) -> Fingerprint:
        return partial(fingerprint, self._fetcher.token, self._origin, account)

    def _walk(self, settings: WalkSettings, call: Call[Any] = CHATS) -> ChatWalk[Any]:
        known = self._lists.get(call)
        if known is None:
            known = self._lists[call] = AccountList(self._fetcher.for_endpoint(call.path, call.item))
        walk = known.walk(settings, self._fingerprint_of(settings.account))
        self._transport.check()
        return walk
