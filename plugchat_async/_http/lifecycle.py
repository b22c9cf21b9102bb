"""The life of a session: new, open in one event loop, closed for good."""

import asyncio
from typing import Literal

from attrs import define

from plugchat_async.errors import SessionStateError


@define(eq=False, repr=False)
class Lifecycle:
    """Where a session stands."""

    state: Literal["new", "open", "closed"] = "new"
    _loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """Belong to the running event loop from now on."""
        self.state = "open"
        self._loop = asyncio.get_running_loop()

    def end(self) -> None:
        """End, once and for all."""
        self.state = "closed"

    def check(self) -> None:
        """Refuse to be used: SessionStateError unless it is open, in the running event loop."""
        if self.state == "closed":
            raise SessionStateError("the session is closed", "Make a new PlugChatSession: a closed one stays closed.")
        if self.state == "new":
            raise SessionStateError("the session is not open")
        if self._loop is not asyncio.get_running_loop():
            raise SessionStateError(
                "the session belongs to another event loop",
                "Make one session for each event loop, inside of it.",
            )
