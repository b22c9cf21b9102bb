"""A soak: a thousand walks at a time, for minutes, while everything goes wrong now and then.

    python tests/soak.py --seconds 60
    python tests/soak.py --minutes 15 --seed 7

Nothing of it leaves this machine: a simulator answers, in a process of its own, so that memory and descriptors are the
client's alone. Walks of all kinds (sessions of their own, shared ones, `fetch_many`; each consistency; with pages ahead
or not) read accounts that are quiet, or move; requests meet faults by chance; walks are cancelled, left and abandoned,
sessions are closed under them. Beside them, exports and commands are cancelled, killed, or find no room on the disk,
and are run again. Whatever happens:

- a walk ends whole, or with a PlugChatError, or as it was told to end. Nothing else comes out, and none hangs;
- whole means all chats of a quiet account, and of a moving one all that existed all the while; no chat comes twice, and
  none that the account never had, however a walk ends;
- what was stopped becomes whole when it is run again, no chat comes twice, and no part of a file is left;
- what began is what ended, and no walk says that it read more pages than the simulator was asked for;
- no account has more requests in flight than its session may have;
- memory, tasks, descriptors and objects stay what they are, and at the end none is left;
- no exception is lost, nothing is left open, and no token is in any error or log.

It prints what it saw, and what was violated, and exits with 1 if anything was.
"""

import argparse
import asyncio
import gc
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from faults.soaking.descriptors import room
from faults.soaking.ground import Ground, Order
from faults.soaking.listening import listening
from faults.soaking.process import serve, served
from faults.soaking.report import report
from faults.soaking.run import Soak
from support.commands import heed_signals


def event_loop(*, uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if uvloop:
        import uvloop as fast

        return fast.new_event_loop
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 if anything was violated."""
    heed_signals()
    parser = argparse.ArgumentParser(description="A thousand walks at a time, with faults, for as long as you like.")
    duration = parser.add_mutually_exclusive_group()
    duration.add_argument("--minutes", type=float, help="how long (default: a minute)")
    duration.add_argument("--seconds", type=float)
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="draws accounts, walks and faults (default 1); which meets which is up to the order of arrival",
    )
    parser.add_argument("--walks", type=int, default=1000, help="how many at a time (default 1000)")
    parser.add_argument("--most", type=int, default=4, help="requests in flight of a session at most (default 4)")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop instead of asyncio's own event loop")
    parser.add_argument(
        "--grace", type=float, default=60.0, help="seconds in which the last walks must end (default 60)"
    )
    parser.add_argument("--plant", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--accounts", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        asyncio.run(serve(options.accounts, options.seed, options.most))
        return 0
    seconds: float = options.seconds or 60.0 * (options.minutes or 1.0)
    most = room(options.walks, options.most)
    if most < options.most:
        sys.stdout.write(f"few descriptors: {most} instead of {options.most} requests in flight a session\n")
    order = Order(options.walks, seconds, options.grace, options.seed, most, frozenset(options.plant))
    soak = Soak(Ground(order))

    async def soaked() -> dict[str, Any]:
        async with served(Path(__file__), order.accounts, order.seed, order.most) as server:
            return await soak.run(server)

    began = time.monotonic()
    with listening(soak.tally.violated), asyncio.Runner(loop_factory=event_loop(uvloop=options.uvloop)) as runner:
        told = runner.run(soaked())
        gc.collect()
        text = report(soak, told, time.monotonic() - began)
    sys.stdout.write(f"{text}\n")
    return 1 if soak.tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
