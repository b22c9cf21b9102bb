"""The simulator's process: memory, tasks and descriptors of the other one are the client's alone."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from attrs import frozen

from faults.soaking.accounts import specs
from faults.soaking.simulator import Served


async def serve(accounts: int, seed: int, most: int) -> None:
    """Serve until stdin ends. Each line of it is answered with what was seen so far."""
    async with Served(specs(accounts, seed), seed, most) as sim:
        helpers = [asyncio.create_task(sim.move()), asyncio.create_task(sim.watch())]
        lines = asyncio.StreamReader()
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        sys.stdout.write(f"{sim.base_url}\n")
        sys.stdout.flush()
        while await lines.readline():
            sys.stdout.write(f"{json.dumps(sim.told())}\n")
            sys.stdout.flush()
        pipe.close()
        for helper in helpers:
            helper.cancel()


@contextlib.asynccontextmanager
async def served(command: Path, accounts: int, seed: int, most: int) -> AsyncIterator["Server"]:
    """Run the simulator in a process of its own, which is the command's with `--serve`."""
    arguments = ["--serve", "--accounts", str(accounts), "--seed", str(seed), "--most", str(most)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(command),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Server(process.stdin, process.stdout, (await process.stdout.readline()).decode().strip())
    finally:
        process.stdin.close()
        await process.wait()


@frozen
class Server:
    """The simulator's process, seen from the client's."""

    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    base_url: str

    async def told(self) -> dict[str, Any]:
        self.stdin.write(b"\n")
        return dict(json.loads(await self.stdout.readline()))
