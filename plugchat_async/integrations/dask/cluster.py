"""Connections to Dask clusters, and errors of lost ones."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# Dask's types are incomplete.

import asyncio
import logging
import signal
import threading
from collections.abc import Generator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from typing import Any

from distributed import Client, LocalCluster
from distributed.client import ClosedClientError

from plugchat_async.errors import InvalidValueError, PlugChatError, ServiceError


@contextmanager
def connected(address: str | None) -> Generator[Any]:
    """Connect to a cluster, and yield a Client.

    Args:
        address: The address of the scheduler. None starts a cluster on this machine, with a process of one thread for
            each core.

    Raises:
        InvalidValueError: The address is not valid.
        ServiceError: The scheduler does not answer.
    """
    with ExitStack() as stack:
        cluster: Any = address
        if address is None:
            options: dict[str, Any] = {
                "threads_per_worker": 1,
                "dashboard_address": "127.0.0.1:0",
                "silence_logs": logging.CRITICAL,
            }
            with _interrupts_ignored():
                cluster = stack.enter_context(LocalCluster(**options))
        problem, is_invalid = "", False
        client: Any = None
        try:
            client = stack.enter_context(Client(cluster))
        except (OSError, ValueError) as error:
            problem, is_invalid = type(error).__name__, isinstance(error, ValueError)
        if is_invalid:
            raise InvalidValueError(f"invalid address of a Dask scheduler: {address!r}", "Use tcp://HOST:PORT.")
        if problem:
            raise ServiceError(
                f"can't connect to the Dask cluster at {address or 'this machine'}: {problem}",
                "Check that its scheduler is running, and that its address is tcp://HOST:PORT.",
            )
        yield client


@contextmanager
def _interrupts_ignored() -> Generator[None]:
    """Start processes that ignore Ctrl-C. A terminal sends it to all processes, but only this one should end them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def cluster_errors(client: Any) -> Generator[None]:
    """Raise ServiceError if the scheduler is lost or the client closed."""
    problem = "" if client.status == "running" else f"the client is {client.status}"
    if not problem:
        try:
            yield
        except PlugChatError:
            raise  # of an account: some are OSErrors as well
        except (OSError, CancelledError, asyncio.CancelledError, ClosedClientError) as error:
            problem = type(error).__name__
    if problem:
        raise ServiceError(
            f"the Dask cluster was lost: {problem}",
            "Check its scheduler's log. Finished accounts are kept; make the same call again to continue.",
        )
