"""`plugchat simulate` and `plugchat demo`: simulated accounts, without a token and a network."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from plugchat_async import InvalidValueError
from plugchat_async._internal.validation import check_int
from plugchat_async.cli.demo import show_busy, show_quiet
from plugchat_async.cli.options import EXIT_OK, IntOption, PageSizeOption, run_async
from plugchat_async.cli.output import open_output
from plugchat_async.session import BASE_URL_VARIABLE, TOKEN_VARIABLE
from plugchat_async.testing import PlugChatSimulator
from plugchat_async.testing.dialects import Dialect

SIMULATE_EXAMPLES = (
    "Examples: `plugchat simulate`; `plugchat simulate --busy --latency 0.05`; `plugchat simulate --disconnected`; "
    "`plugchat simulate --accounts 50 --accounts-file accounts.csv`."
)
DEMO_EXAMPLES = "Examples: `plugchat demo`; `plugchat demo --busy --chats 5000`."


def simulate(
    *,
    chats: Annotated[IntOption, Parameter(help="Number of chats of each account.")] = 1000,
    seed: Annotated[IntOption, Parameter(help="The same seed makes the same chats.")] = 0,
    port: Annotated[IntOption, Parameter(help="Port to listen on, on loopback; 0: any free port.")] = 8765,
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
    accounts: Annotated[IntOption, Parameter(help="Number of accounts.")] = 1,
    accounts_file: Annotated[
        Path | None, Parameter(help="Write the accounts into this file, for `plugchat bulk`.")
    ] = None,
) -> int:
    """Serve simulated accounts until Ctrl-C, to test code and commands.

    It prints the environment variables to set in another terminal, for the first account.
    """
    check_int("accounts", accounts, minimum=1, maximum=100_000)
    sim = PlugChatSimulator(chats, seed=seed, latency=latency, port=port, dialect=dialect, connected=not disconnected)
    names = {"account-1": sim.token}
    for number in range(2, accounts + 1):
        account = sim.add_account(f"{sim.token}-{number}", chats, seed=seed + number)
        account.connected = not disconnected
        names[f"account-{number}"] = account.token

    if busy:
        sim.traffic(bumps=2.0, inserts=0.2, deletes=0.05, seed=seed, every=1.0)

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(sim)
            except OSError as error:
                raise InvalidValueError(
                    f"can't listen on port {port}: {error.strerror}", "Choose another --port, or 0 for any."
                ) from None
            if accounts_file is not None:
                with open_output(accounts_file) as out:
                    out.write("name,token,base_url\n")
                    out.writelines(f"{name},{token},{sim.base_url}\n" for name, token in names.items())
            print(f"export {BASE_URL_VARIABLE}={sim.base_url}")
            print(f"export {TOKEN_VARIABLE}={sim.token}", flush=True)
            per_account = f" each of {accounts} accounts" if accounts > 1 else ""
            state = ", phone not connected" if disconnected else ""
            print(f"serving {chats} chats{per_account}{state}; press Ctrl-C to stop", file=sys.stderr)
            await asyncio.Event().wait()

    try:
        run_async(serve())
    except KeyboardInterrupt:
        return EXIT_OK  # the normal end
    return EXIT_OK


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
