"""What the tests share: fake time, a running simulator, a session on it, and a patch for aioresponses."""

import asyncio
import gc
import inspect
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import aioresponses.core
import hypothesis
import pytest

from plugchat_async import PlugChatSession
from plugchat_async.testing import PlugChatSimulator
from support.commands import heed_signals
from support.eager import eager_task_factory
from support.fakes import FakeTime

pytest_plugins = ["pytester"]

# Machines are slow now and then: no test fails for the time that it took. With PLUGCHAT_SAME_EXAMPLES, as in CI, a test
# tries the same examples each time, so that a run fails for a change alone; else it tries new ones.
hypothesis.settings.register_profile(
    "patient", deadline=None, derandomize=bool(os.environ.get("PLUGCHAT_SAME_EXAMPLES"))
)
# A mutant is judged by the same examples in each run, and that one fails is enough to know.
hypothesis.settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)
hypothesis.settings.load_profile("patient")

if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:
    # aioresponses 0.7.9 does not know this argument of aiohttp 3.14 (its issue 289).
    class _Writer:
        output_size = 0

    class _ClientResponse(aiohttp.ClientResponse):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.setdefault("stream_writer", _Writer())
            super().__init__(*args, **kwargs)

    setattr(aioresponses.core, "ClientResponse", _ClientResponse)  # noqa: B010 - the module does not export it


# pytest-xdist starts its workers without the options of the process that starts them.
WORKERS_ENVIRONMENT = {"PYTHONDEVMODE": "1" if sys.flags.dev_mode else "", "PYTHONWARNINGS": ",".join(sys.warnoptions)}


def pytest_configure(config: pytest.Config) -> None:
    """Start workers with `-X dev` and `-W`, if pytest was started with them; what tests start is without them."""
    heed_signals()
    if "PYTEST_XDIST_WORKER" in os.environ:
        for name in (*WORKERS_ENVIRONMENT, "PYTEST_ADDOPTS"):
            os.environ.pop(name, None)
    elif config.getoption("numprocesses", None):
        os.environ.update(WORKERS_ENVIRONMENT)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Give all tests of a file to one worker: some build a site, start a cluster or keep results for the whole file."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--eager-tasks", action="store_true", help="run all tasks of the tests eagerly")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--eager-tasks"):
        for item in items:
            if (
                isinstance(item, pytest.Function)
                and inspect.iscoroutinefunction(item.obj)
                and not item.get_closest_marker("lazy")
            ):
                item.fixturenames.insert(0, "eager_tasks")
    # What tries thousands of traces comes last: most faults show earlier.
    items.sort(key=lambda item: item.path.name == "test_walk_traces.py")


def pytest_collection_finish() -> None:
    """Hide the modules and the tests themselves from the garbage collector, which many tests run again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def eager_tasks() -> None:
    """Run tasks as they do with `asyncio.eager_task_factory`, which CPython has since 3.12."""
    asyncio.get_running_loop().set_task_factory(eager_task_factory)


@pytest.fixture
async def sim(request: pytest.FixtureRequest) -> AsyncIterator[PlugChatSimulator]:
    """A simulator that speaks as the gateway does, or, where a test is marked with `DOCUMENTED`, as in 2021."""
    async with PlugChatSimulator(chats=250, seed=7, dialect=getattr(request, "param", "gateway")) as simulator:
        yield simulator


@pytest.fixture
async def plugchat(sim: PlugChatSimulator, fake_time: FakeTime) -> AsyncIterator[PlugChatSession]:
    async with PlugChatSession(sim.token, base_url=sim.base_url, clock=fake_time.clock) as session:
        yield session
