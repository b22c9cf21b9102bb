"""`plugchat simulate` and `plugchat demo`: accounts that are made up, so no token and no network is needed."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from plugchat_async import InvalidValueError
from plugchat_async._internal.validation import check_int
from plugchat_async.cli.demo import show_busy, show_quiet
from plugchat_async.cli.options import EXIT_OK, PageSizeOption, Whole, run_async
from plugchat_async.cli.output import opened
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
    chats: Annotated[Whole, Parameter(help="How many chats the simulated account has.")] = 1000,
    seed: Annotated[Whole, Parameter(help="The same seed makes the same chats.")] = 0,
    port: Annotated[Whole, Parameter(help="Where to listen on loopback; 0 takes any free port.")] = 8765,
    latency: Annotated[float, Parameter(help="Seconds before each answer.")] = 0.0,
    dialect: Annotated[
        Dialect, Parameter(help="Spell chats as the gateway does today, or as the vendor's page of 2021 does.")
    ] = "gateway",
    busy: Annotated[
        bool, Parameter(negative=(), help="Let something happen each second: messages, new chats, deleted ones.")
    ] = False,
    disconnected: Annotated[
        bool, Parameter(negative=(), help="Take the phones off WhatsApp: lists are empty, and the status says so.")
    ] = False,
    accounts: Annotated[Whole, Parameter(help="How many accounts to serve, each with as many chats.")] = 1,
    accounts_file: Annotated[
        Path | None, Parameter(help="Write the accounts into this file, as `plugchat bulk` reads them.")
    ] = None,
) -> int:
    """Serve simulated accounts until Ctrl-C, to try code and commands against.

    It prints the variables to set in another terminal; they name the first account.
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
                with opened(accounts_file) as out:
                    out.write("name,token,base_url\n")
                    out.writelines(f"{name},{token},{sim.base_url}\n" for name, token in names.items())
            print(f"export {BASE_URL_VARIABLE}={sim.base_url}")
            print(f"export {TOKEN_VARIABLE}={sim.token}", flush=True)
            of = f" each of {accounts} accounts" if accounts > 1 else ""
            state = ", phone not connected" if disconnected else ""
            print(f"serving {chats} chats{of}{state}, Ctrl-C ends it", file=sys.stderr)
            await asyncio.Event().wait()

    try:
        run_async(serve())
    except KeyboardInterrupt:
        return EXIT_OK  # the way to end it
    return EXIT_OK


def demo(
    *,
    chats: Annotated[
        Whole | None, Parameter(help="How many chats the simulated account has: 250, or with --busy 1000.")
    ] = None,
    seed: Annotated[Whole, Parameter(help="The same seed makes the same chats.")] = 7,
    page_size: PageSizeOption = 100,
    busy: Annotated[bool, Parameter(negative=(), help="Let the account move, and compare.")] = False,
) -> int:
    """Fetch all chats of a simulated account inside this process: no token and no network needed.

    The first request is answered 503 on purpose, to show a retry. With --busy, chats get messages while they are read:
    a table compares what each --consistency makes of it.
    """
    if busy:
        run_async(show_busy(1000 if chats is None else chats, seed=seed, page_size=page_size))
    else:
        run_async(show_quiet(250 if chats is None else chats, seed=seed, page_size=page_size))
    return EXIT_OK
