"""Dask clusters: how one is reached, and what is said when it can't be."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# Dask's types are not known in full.

import asyncio
import logging
import signal
import threading
from collections.abc import Generator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from typing import Any

from plugchat_async._extras import needing
from plugchat_async.errors import InvalidValueError, PlugChatError, ServiceError

with needing("dask", "a Dask cluster"):
    from distributed import Client, LocalCluster
    from distributed.client import ClosedClientError


@contextmanager
def connected(address: str | None) -> Generator[Any]:
    """Give a client of the cluster at an address, or of one on this machine, made for the occasion.

    That has a worker process with one thread for each core. ServiceError if the address does not answer,
    InvalidValueError if it is none.
    """
    with ExitStack() as stack:
        cluster: Any = address
        if address is None:
            options: dict[str, Any] = {
                "threads_per_worker": 1,
                "dashboard_address": "127.0.0.1:0",
                "silence_logs": logging.CRITICAL,
            }
            with _ignoring_interrupts():
                cluster = stack.enter_context(LocalCluster(**options))
        trouble, wrong = "", False
        client: Any = None
        try:
            client = stack.enter_context(Client(cluster))
        except (OSError, ValueError) as error:
            trouble, wrong = type(error).__name__, isinstance(error, ValueError)
        if wrong:
            raise InvalidValueError(f"{address!r} is no address of a Dask scheduler", "Give it as tcp://HOST:PORT.")
        if trouble:
            raise ServiceError(
                f"the Dask cluster at {address or 'this machine'} can't be reached: {trouble}",
                "Give its scheduler's address as tcp://HOST:PORT, and check that it runs.",
            )
        yield client


@contextmanager
def _ignoring_interrupts() -> Generator[None]:
    """Start processes that pass over Ctrl-C, which a terminal sends to all: this one ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def reaching_cluster(client: Any) -> Generator[None]:
    """Turn what Dask raises when its scheduler is gone, or the client closed, into a ServiceError."""
    trouble = "" if client.status == "running" else f"the client is {client.status}"
    if not trouble:
        try:
            yield
        except PlugChatError:
            raise  # of an account: some are OSErrors as well
        except (OSError, CancelledError, asyncio.CancelledError, ClosedClientError) as error:
            trouble = type(error).__name__
    if trouble:
        raise ServiceError(
            f"the Dask cluster was lost: {trouble}",
            "Look at its scheduler's log. What is finished is kept, and the same call goes on.",
        )
