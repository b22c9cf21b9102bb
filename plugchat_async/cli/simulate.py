"""`plugchat simulate` and `plugchat demo`: simulated accounts, without a token and a network."""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from cyclopts import Parameter

from plugchat_async import InvalidValueError
from plugchat_async._internal.validation import check_int
from plugchat_async.cli.demo import show_busy, show_quiet
from plugchat_async.cli.fault_option import parse_faults
from plugchat_async.cli.options import EXIT_OK, IntOption, PageSizeOption
from plugchat_async.cli.output import open_output
from plugchat_async.cli.progress import waiting
from plugchat_async.cli.signals import is_ctrl_c, run_async
from plugchat_async.cli.terminal import tell
from plugchat_async.session import BASE_URL_VARIABLE, TOKEN_VARIABLE
from plugchat_async.testing import PlugChatSimulator, Quirks
from plugchat_async.testing.dialects import Dialect
from plugchat_async.testing.quirks import PastEnd, WithoutTime
from plugchat_async.testing.simulator import LOOPBACK

SIMULATE_EXAMPLES = (
    "Examples: `plugchat simulate`; `plugchat simulate --busy --latency 0.05`; `plugchat simulate --disconnected`; "
    "`plugchat simulate --fault 503@page=2`; "
    "`plugchat simulate --syncing`; `plugchat simulate --hidden-share 0.01 --past-end error`; "
    "`plugchat simulate --accounts 50 --accounts-file accounts.csv`."
)
DEMO_EXAMPLES = "Examples: `plugchat demo`; `plugchat demo --busy --chats 5000`."

# The number of chats at the start of a sync, and its length in seconds.
_FIRST_SYNCED: Final = 10
_SYNC_SECONDS: Final = 60


def simulate(
    *,
    chats: Annotated[IntOption, Parameter(help="Number of chats of each account.")] = 1000,
    seed: Annotated[IntOption, Parameter(help="The same seed makes the same chats.")] = 0,
    port: Annotated[IntOption, Parameter(help="Port to listen on; 0: any free port.")] = 8765,
    host: Annotated[
        str,
        Parameter(
            help="Address to listen on: 0.0.0.0 for other containers and machines, all of which can then use it. Their "
            "sessions need this machine's name in base_url, and insecure_http=True or --insecure-http."
        ),
    ] = LOOPBACK,
    latency: Annotated[float, Parameter(help="Seconds before each response.")] = 0.0,
    dialect: Annotated[
        Dialect, Parameter(help="Chats as the gateway sends them today, or as in the vendor's page of 2021.")
    ] = "gateway",
    busy: Annotated[
        bool, Parameter(negative=(), help="Change the lists every second: messages, new chats, deleted chats.")
    ] = False,
    disconnected: Annotated[
        bool, Parameter(negative=(), help="Disconnect the phones from WhatsApp: lists are empty.")
    ] = False,
    syncing: Annotated[
        bool,
        Parameter(negative=(), help="Start with 10 chats; the others are added every second, in about a minute."),
    ] = False,
    past_end: Annotated[
        PastEnd, Parameter(help="Content of a page past the end: nothing, another page, or an error (404).")
    ] = "empty",
    without_time: Annotated[WithoutTime, Parameter(help="Place of chats without a time.")] = "last",
    hidden_share: Annotated[
        float, Parameter(help="Share of chats that are left out after a page was cut, from 0 to 1.")
    ] = 0.0,
    empty_share: Annotated[float, Parameter(help="Share of responses without chats, from 0 to 1.")] = 0.0,
    partial_share: Annotated[
        float, Parameter(help="Share of responses from the first half of the list, from 0 to 1.")
    ] = 0.0,
    lagging_share: Annotated[
        float, Parameter(help="Share of responses from an older state of the list, from 0 to 1; use it with --busy.")
    ] = 0.0,
    fault: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            show_default=False,
            help="Answer with a fault: a status such as 503, or close, empty, hang, html, partial, reset, truncate. "
            "503@page=2 is for one page, 503@times=3 for the first three requests; both: 503@page=2,times=3. Can be "
            "repeated.",
        ),
    ] = (),
    accounts: Annotated[IntOption, Parameter(help="Number of accounts.")] = 1,
    accounts_file: Annotated[
        Path | None, Parameter(help="Write the accounts into this file, for `plugchat bulk`.")
    ] = None,
) -> int:
    """Serve simulated accounts until Ctrl-C, to test code and commands.

    It prints the environment variables to set in another terminal, for the first account.
    """
    check_int("accounts", accounts, minimum=1, maximum=100_000)
    quirks = Quirks(
        past_end=past_end,
        without_time=without_time,
        hidden_share=hidden_share,
        empty_share=empty_share,
        partial_share=partial_share,
        lagging_share=lagging_share,
    )
    connected = not disconnected
    sim = PlugChatSimulator(
        chats, seed=seed, latency=latency, port=port, host=host, dialect=dialect, connected=connected, quirks=quirks
    )
    for page, faults in parse_faults(fault).items():
        sim.script(*faults, page=page)
    names = {"account-1": sim.token}
    with waiting(f"making {accounts} accounts"):
        for number in range(2, accounts + 1):
            account = sim.add_account(f"{sim.token}-{number}", chats, seed=seed + number)
            account.connected = connected
            if syncing:
                account.start_sync(_FIRST_SYNCED)
            names[f"account-{number}"] = account.token

    if syncing:
        sim.start_sync(_FIRST_SYNCED)
    if busy or syncing:
        sim.traffic(
            bumps=2.0 * busy,
            inserts=0.2 * busy,
            deletes=0.05 * busy,
            syncs=min(chats / _SYNC_SECONDS, 10_000) * syncing,
            seed=seed,
            every=1.0,
        )

    per_account = f" each of {accounts} accounts" if accounts > 1 else ""
    state = ", phone not connected" if disconnected else ", syncing" if syncing else ""
    try:
        run_async(_serve(sim, names, accounts_file, (host, port), f"{chats} chats{per_account}{state}"))
    except KeyboardInterrupt as stop:
        if not is_ctrl_c(stop):  # which is the normal end
            raise
    return EXIT_OK


async def _serve(
    sim: PlugChatSimulator, names: Mapping[str, str], accounts_file: Path | None, address: tuple[str, int], served: str
) -> None:
    """Serve accounts until a signal.

    Args:
        sim: The simulator.
        names: The tokens of the accounts by their names.
        accounts_file: The file to write them into, if there is one.
        address: The host and the port that were asked for.
        served: The description of what is served.
    """
    host, port = address
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(sim)
        except (OSError, UnicodeError) as error:
            reason = _reason(error)
            raise InvalidValueError(
                f"can't listen on {'' if host == LOOPBACK else f'{host}, '}port {port}: {reason}",
                "Choose another --port, or 0 for any."
                if host == LOOPBACK
                else "--host must be an address of this machine, and --port one that is free.",
            ) from None
        if accounts_file is not None:
            with open_output(accounts_file) as out:
                out.write("name,token,base_url\n")
                out.writelines(f"{name},{token},{sim.base_url}\n" for name, token in names.items())
        print(f"export {BASE_URL_VARIABLE}={sim.base_url}")
        print(f"export {TOKEN_VARIABLE}={sim.token}", flush=True)
        if urlsplit(sim.base_url).hostname != host.lower():
            machine = f"http://{socket.gethostname()}:{urlsplit(sim.base_url).port}"
            tell(f"listening on {host}: other machines use {machine}, and --insecure-http\n")
        tell(f"serving {served}; press Ctrl-C to stop\n")
        await asyncio.Event().wait()


def _reason(error: OSError | UnicodeError) -> str:
    """Return why a server can't listen, without the event loop's words."""
    if isinstance(error, UnicodeError):
        return "it is not a host name"  # IDNA can't encode it
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)  # its number is not one of the system's errors
    return os.strerror(error.errno) if error.errno else str(error)


def demo(
    *,
    chats: Annotated[IntOption | None, Parameter(help="Number of chats. Default: 250, with --busy 1000.")] = None,
    seed: Annotated[IntOption, Parameter(help="The same seed makes the same chats.")] = 7,
    page_size: PageSizeOption = 100,
    busy: Annotated[
        bool, Parameter(negative=(), help="Change the list while it is read, and compare results.")
    ] = False,
) -> int:
    """Fetch all chats of a simulated account inside this process, without a token and a network.

    The first response is a 503 on purpose, to show a retry. With --busy, chats get messages while the list is read, and
    a table compares the results of each --consistency.
    """
    if busy:
        run_async(show_busy(1000 if chats is None else chats, seed=seed, page_size=page_size))
    else:
        run_async(show_quiet(250 if chats is None else chats, seed=seed, page_size=page_size))
    return EXIT_OK
