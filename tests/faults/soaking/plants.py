"""Plants: what must not be done, done on purpose, so that a test sees that it is noticed."""

import asyncio
import logging
import os
from collections.abc import Iterable
from typing import Any

from faults.soaking.accounts import Known


class Plants:
    """What is planted: "chat", "count", "foreign" and "hang" are done to one walk, each by who takes it.

    "file" and "part" are done to one export.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = set(names)
        self.kept: list[Any] = []

    def take(self, name: str) -> bool:
        """Say whether it is to be done here: it is once."""
        taken = name in self.names
        self.names.discard(name)
        return taken

    def sow(self, known: Known) -> None:
        """Leave things behind in the running event loop, say the token of an account, and spoil its sum."""
        loop = asyncio.get_running_loop()
        if "task" in self.names:
            self.kept.append(loop.create_task(asyncio.Event().wait(), name="planted"))
        if "descriptor" in self.names:
            self.kept.append(os.open("/dev/null", os.O_RDONLY))
        if "exception" in self.names:
            loop.create_future().set_exception(ValueError("planted"))
        if "warning" in self.names:
            open("/dev/null")  # noqa: PTH123, SIM115 - never closed
        if "token" in self.names:
            logging.getLogger("plugchat_async.planted").warning("%s", known.spec.token)
        if "pages" in self.names:
            known.pages += 10**9

    def leak(self) -> None:
        """Lose a megabyte, as often as samples are taken."""
        if "memory" in self.names:
            self.kept.append(os.urandom(1 << 20))
