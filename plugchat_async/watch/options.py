"""What a caller gives to a watch and gets of it besides events: its state, its options, its outages."""

from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypedDict

from attrs import frozen

from plugchat_async._internal.files import write_private
from plugchat_async._internal.validation import (
    check_choice,
    check_function,
    check_int,
    check_optional_int,
    check_seconds,
    check_type,
)
from plugchat_async.errors import InvalidValueError, PlugChatError
from plugchat_async.models import COLUMNS, Chat
from plugchat_async.watch.snapshot import Snapshot, pack, unpack


class WatchState:
    """What a watch knows: all chats as it has told of them last.

    Give one to `watch_chats` to keep it: at each event it is what the caller knows, that event included. So a watch
    that is begun with it later, in another process too, tells what has happened meanwhile, and nothing twice. It holds
    names, phones and lids, but no token.
    """

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._lent = False

    def __repr__(self) -> str:
        return f"<WatchState {len(self._snapshot.chats)} chats>"

    @property
    def chats(self) -> tuple[Chat, ...]:
        """All chats that are known, the newest message first."""
        return self._snapshot.sorted_chats()

    def dumps(self) -> str:
        """Give the state as a text that `loads` reads, of letters and digits: some 60 to 200 bytes for each chat.

        It takes some 2 ms for each thousand chats.
        """
        return pack(self._snapshot)

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read a state. InvalidValueError if the text is none, or one of another version of this package."""
        check_type("text", text, str)
        state = cls()
        state._snapshot = unpack(text)
        return state

    def save(self, path: str | Path) -> None:
        """Write the state into a file, which only its owner may read. The file changes wholly or not at all.

        OutputError if it can't be written.
        """
        write_private(Path(path), self.dumps() + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a state that `save` has written, or give a new one if there is no such file.

        InvalidValueError if it can't be read, or is no state.
        """
        path = Path(path)
        reason: str | None = "it is no regular file"  # one would wait for whoever writes into a pipe
        try:
            if not path.exists():
                return cls()
            if path.is_file() or path.is_dir():
                return cls.loads(path.read_text("ascii").strip())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it holds no state of a watch"
        raise InvalidValueError(
            f"can't read the state {path}: {reason}", "Name another file, or remove this one: a watch then begins anew."
        )

    @contextmanager
    def lent(self) -> Generator[Snapshot]:
        """Lend what is inside to a watch. InvalidValueError if another one has it."""
        if self._lent:
            raise InvalidValueError(
                "state is in use by another watch",
                "Give each watch a state of its own, and end one at once with `aclosing`.",
            )
        self._lent = True
        try:
            yield self._snapshot
        finally:
            self._lent = False


@frozen
class Outage:
    """A watch could not look at the list, or can again.

    error: why not; None says that the outage is over. failures: how many looks have failed in a row.
    lasted: seconds since the first of them began. wait: seconds until the next look.
    """

    error: PlugChatError | None
    failures: int
    lasted: float
    wait: float


OnOutage = Callable[[Outage], object]
OnPoll = Callable[[WatchState], object]


class WatchOptions(TypedDict, total=False):
    """The keyword options of `PlugChatSession.watch_chats`, for functions that pass them on.

    interval: seconds from the beginning of a look to that of the next one (default 30.0).
    page_size: chats to ask for at a time (default 100).
    state: what the caller knows already (default None: nothing), and goes on to know. Save it when an event is
        dealt with and in `on_poll`, and give it back after a restart: what happened meanwhile is given, and nothing
        twice.
    full_scan_interval: seconds after which the whole list is read again (default 600.0; 0.0: at each look).
    emit_existing: whether a watch without a state begins with a ChatAdded for each chat (default False).
    ignore: names of `Chat`'s fields whose changes alone are no event, such as "profile_thumbnail" (default: none).
    looks: how many times to look (default None: without end). If the last one fails, its error is raised.
    max_outage: seconds of an outage after which its error is raised (default None: it is waited for).
    on_outage: a plain function, called with an Outage when a look has failed, and when looking works again (default
        None; both are logged as warnings). ServiceErrors and ResponseErrors are waited for, longer each time up to
        five minutes or `interval`, and as long as a 429 asks. So is a 4xx other than 401 and 403 after a look that
        worked. All others are raised, and so are AuthenticationError and AccessDeniedError.
    on_poll: a plain function, called with the state when all events of a look are dealt with, if it has learnt
        anything, with or without events, as the first one does (default None). To save only here takes less time
        where many chats change; what dies in the middle of a look then gets its events again.
    """

    interval: float
    page_size: int
    state: WatchState | None
    full_scan_interval: float
    emit_existing: bool
    ignore: Collection[str]
    max_polls: int | None
    max_outage: float | None
    on_outage: OnOutage | None
    on_poll: OnPoll | None


@frozen(kw_only=True, eq=False, repr=False)
class WatchSettings:
    """The same, with their defaults, checked. InvalidValueError or InvalidTypeError if one is wrong."""

    interval: float = 30.0
    page_size: int = 100
    state: WatchState | None = None
    full_scan_interval: float = 600.0
    emit_existing: bool = False
    ignore: Collection[str] = ()
    max_polls: int | None = None
    max_outage: float | None = None
    on_outage: OnOutage | None = None
    on_poll: OnPoll | None = None

    def __attrs_post_init__(self) -> None:
        check_seconds("interval", self.interval, zero=False)
        check_int("page_size", self.page_size, minimum=1)
        check_type("state", self.state, WatchState, optional=True)
        check_seconds("full_scan_interval", self.full_scan_interval, zero=True)
        check_type("emit_existing", self.emit_existing, bool)
        check_type("ignore", self.ignore, Collection)
        for name in self.ignore:
            check_choice("ignore", name, COLUMNS)
        check_optional_int("max_polls", self.max_polls, minimum=1)
        if self.max_outage is not None:
            check_seconds("max_outage", self.max_outage, zero=True)
        check_function("on_outage", self.on_outage, "an Outage")
        check_function("on_poll", self.on_poll, "a WatchState")
