"""The pytest plugin: fixtures for a simulated account and a session on it, and markers that configure them.

    @pytest.mark.plugchat_faults(Fault.status(503))
    async def test_my_code(plugchat_session: PlugChatSession, plugchat_simulator: PlugChatSimulator) -> None:
        assert await count_unread(plugchat_session) == sum(chat.unread for chat in plugchat_simulator.chats)

pytest imports this module in every run of every project where the package is installed. Therefore it imports only
modules that pytest has loaded anyway; the package's names are loaded when a test uses a fixture.

The fixtures run in the test's event loop. An async test and the simulator share one loop, as with `async with
PlugChatSimulator()`: between two awaits of the test nothing is served, so the test changes the list atomically, and
faults apply to requests in the order in which they were sent. In a thread, the simulator would race with the test for
both. A sync test has no loop, and blocks while it waits for the code under test: there the simulator runs in a thread.
"""

import inspect
import sys
import threading
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

import pytest

import plugchat_async
from plugchat_async import testing

T = TypeVar("T")
Decorator = Callable[[Callable[..., object]], object]

_MARKERS = {
    "plugchat_faults(*faults, page=None)": "faults of the first requests to plugchat_simulator, one each, in order, "
    "such as plugchat_async.testing.Fault.status(503); with page=2, of the first requests for that page. Several "
    "markers add up: the module's, the class's, then the test's.",
    "plugchat_simulator(**options)": "options of PlugChatSimulator for the fixture plugchat_simulator, such as "
    "chats=1000. Several markers add up; the test's own options override the class's and the module's.",
    "plugchat_session(**options)": "options of PlugChatSession for the fixture plugchat_session, such as timeout=5.0 "
    "or token='wrong'. Several markers add up as those of plugchat_simulator do.",
}

# The limit for the thread to start and to stop serving, in seconds.
_THREAD_TIMEOUT = 10.0

_HAS_SESSION = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and the check of one of them."""
    for marker, meaning in _MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")
    config.pluginmanager.register(_CheckAfterFixtures())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test with faults that would never happen. A class's or module's may be meant for other tests."""
    # With `request`, the test may get the simulator while it runs.
    if {"plugchat_simulator", "request"} & set(getattr(item, "fixturenames", ())):
        return
    for marker in ("plugchat_faults", "plugchat_simulator"):
        if _is_own(item, marker):
            raise _misuse(
                marker,
                "this test does not use plugchat_simulator, plugchat_session or plugchat_env, so it would do nothing. "
                "Add one of them to its arguments.",
            )


class _CheckAfterFixtures:
    """A plugin of its own: a module can have one hook of a name."""

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Refuse a test with options of a session that is not its own, once its fixtures are made."""
        # A fixture may have asked for it by name; and a project may have one of its own.
        used = item.stash.get(_HAS_SESSION, False) or "plugchat_session" in getattr(item, "fixturenames", ())
        if _is_own(item, "plugchat_session") and not used:
            raise _misuse(
                "plugchat_session",
                "this test does not use plugchat_session, whose options these are: with plugchat_env, the session is "
                "your program's own. Add plugchat_session to its arguments, or pass the options to your program.",
            )


@pytest.fixture
def plugchat_simulator(request: pytest.FixtureRequest) -> "Iterator[testing.PlugChatSimulator]":
    """A running PlugChatSimulator with an account of 100 made-up chats, the same in every run, for this test only.

    @pytest.mark.plugchat_simulator(chats=1000, seed=7) sets its options, and @pytest.mark.plugchat_faults(
    Fault.status(503), Fault.reset()) the faults of its first requests. In an async test it runs in the test's event
    loop. In a sync test it runs in a thread, so that the code under test may block: there, call its methods only
    between requests, and use `traffic` without `every`.
    """
    loop = _in_loop(request)
    if loop is not None:
        yield request.getfixturevalue(f"_plugchat_simulator_{loop}")
        return
    simulator = _make_simulator(request.node)
    with _served_from_thread(simulator):
        yield simulator


@pytest.fixture
def plugchat_session(
    request: pytest.FixtureRequest,
    plugchat_simulator: "testing.PlugChatSimulator",  # noqa: ARG001 - so that pytest adds it to the test's fixtures
) -> "plugchat_async.PlugChatSession":
    """An open PlugChatSession on plugchat_simulator, in the test's event loop. It is closed after the test.

    Its clock skips the waits between retries, and each wait is half of its maximum, so that tests are fast and
    repeatable. The time that a server takes to respond is real. @pytest.mark.plugchat_session(timeout=5.0,
    clock=Clock()) sets its options; with `Clock()`, waits are real.
    """
    loop = _in_loop(request)
    if loop is None:
        pytest.fail(
            f"plugchat_session needs an asyncio event loop, and {request.node.name} will not run in one. Make it an "
            "`async def` test, install pytest-asyncio, and mark the test with @pytest.mark.asyncio, or all tests with "
            "asyncio_mode = \"auto\" in pytest's configuration. (anyio's plugin works too, with its backend "
            "'asyncio'.) A sync test can use plugchat_simulator and plugchat_env.",
            pytrace=False,
        )
    session: plugchat_async.PlugChatSession = request.getfixturevalue(f"_plugchat_session_{loop}")
    return session


@pytest.fixture
def plugchat_env(plugchat_simulator: "testing.PlugChatSimulator", monkeypatch: pytest.MonkeyPatch) -> None:
    """Set PLUGCHAT_TOKEN and PLUGCHAT_BASE_URL to plugchat_simulator's, for code that uses PlugChatSession.from_env().

    Sessions that such code creates really wait between their retries.
    """
    monkeypatch.setenv(plugchat_async.session.TOKEN_VARIABLE, plugchat_simulator.token)
    monkeypatch.setenv(plugchat_async.session.BASE_URL_VARIABLE, plugchat_simulator.base_url)


def _in_loop(request: pytest.FixtureRequest) -> str | None:
    """Return the suffix of the fixtures for the test's event loop, None if the test runs in none."""
    item = request.node
    # Not imported here: if it takes part in the run, pytest has imported it.
    pytest_asyncio = sys.modules.get("pytest_asyncio")
    if pytest_asyncio is not None and pytest_asyncio.is_async_test(item):
        # A test may share its loop with its class, its module, or all tests. "scope" is the old name of "loop_scope".
        options = item.get_closest_marker("asyncio").kwargs
        default = request.config.getini("asyncio_default_test_loop_scope")
        scope = options.get("loop_scope") or options.get("scope") or default
        return _registered(request.config, f"asyncio_{scope}", partial(pytest_asyncio.fixture, loop_scope=scope))
    if "anyio_backend" in request.fixturenames and inspect.iscoroutinefunction(request.function):
        backend = request.getfixturevalue("anyio_backend")
        if "asyncio" in (backend, backend[0]):  # it may be a pair, of the name and its options
            return _registered(request.config, "anyio", pytest.fixture)
    return None


def _registered(config: pytest.Config, ending: str, fixture: Callable[..., Decorator]) -> str:
    """Register async fixtures for a plugin that runs tests in a loop, and return the suffix of their names.

    They are created on first use, so that other test runs do not depend on the versions of their plugins.

    Args:
        config: The test run's configuration.
        ending: The suffix.
        fixture: The plugin's decorator for fixtures.
    """
    if not config.pluginmanager.has_plugin(f"plugchat_{ending}"):

        @fixture(name=f"_plugchat_simulator_{ending}")
        async def simulator(request: pytest.FixtureRequest) -> "AsyncIterator[testing.PlugChatSimulator]":
            async with _make_simulator(request.node) as running:
                yield running

        @fixture(name=f"_plugchat_session_{ending}")
        async def session(
            request: pytest.FixtureRequest, plugchat_simulator: "testing.PlugChatSimulator"
        ) -> "AsyncIterator[plugchat_async.PlugChatSession]":
            async with _make_session(request.node, plugchat_simulator) as opened:
                yield opened

        plugin = ModuleType(f"plugchat_{ending}")
        vars(plugin).update(simulator=simulator, session=session)
        config.pluginmanager.register(plugin, plugin.__name__)
    return ending


def _make_simulator(item: pytest.Item) -> "testing.PlugChatSimulator":
    scripts = _scripts(item)
    known = inspect.signature(testing.PlugChatSimulator).parameters
    simulator = _make(testing.PlugChatSimulator, item, "plugchat_simulator", {}, known)
    for faults, page in scripts:
        try:
            simulator.script(*faults, page=page)
        except plugchat_async.ConfigurationError as error:
            raise _misuse("plugchat_faults", str(error)) from None
    return simulator


def _make_session(item: pytest.Item, simulator: "testing.PlugChatSimulator") -> "plugchat_async.PlugChatSession":
    defaults = {"token": simulator.token, "base_url": simulator.base_url, "clock": _clock_without_waits()}
    item.stash[_HAS_SESSION] = True
    known = ("token", *plugchat_async.SessionOptions.__annotations__)
    return _make(plugchat_async.PlugChatSession, item, "plugchat_session", defaults, known)


def _make(cls: type[T], item: pytest.Item, name: str, defaults: Mapping[str, object], known: Collection[str]) -> T:
    """Return an instance with the default options and those of the markers with a name."""
    options: dict[str, Any] = {**defaults}
    for marker in _markers(item, name):
        wrong = [*marker.args, *(option for option in marker.kwargs if option not in known)]
        if wrong:
            raise _misuse(name, f"use options of {cls.__name__}, by name: {', '.join(known)}. Got {wrong[0]!r}.")
        options |= marker.kwargs
    try:
        return cls(**options)
    except plugchat_async.ConfigurationError as error:
        raise _misuse(name, str(error)) from None


def _scripts(item: pytest.Item) -> "list[tuple[tuple[testing.Fault, ...], Any]]":
    """Return the faults of each marker, with their page."""
    scripts: list[tuple[tuple[testing.Fault, ...], Any]] = []
    for marker in _markers(item, "plugchat_faults"):
        wrong = [
            one for one in (*marker.args, *(marker.kwargs.keys() - {"page"})) if not isinstance(one, testing.Fault)
        ]
        if wrong or not marker.args:
            got = repr(wrong[0]) if wrong else "none"
            example = "plugchat_faults(Fault.status(503), Fault.reset())"
            raise _misuse("plugchat_faults", f"use one or more Faults, as in {example}. Got {got}.")
        scripts.append((marker.args, marker.kwargs.get("page")))
    return scripts


def _markers(item: pytest.Item, name: str) -> list[pytest.Mark]:
    """Return a test's markers with a name: the module's, the class's, then its own from top to bottom."""
    return list(item.iter_markers(name))[::-1]


def _is_own(item: pytest.Item, name: str) -> bool:
    return any(marker.name == name for marker in item.own_markers)


def _misuse(marker: str, problem: str) -> BaseException:
    return pytest.fail.Exception(f"@pytest.mark.{marker}: {problem}", pytrace=False)


def _clock_without_waits() -> "plugchat_async.Clock":
    real = plugchat_async.Clock()
    skipped = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal skipped
        skipped += seconds
        await real.sleep(0)

    return plugchat_async.Clock(
        monotonic=lambda: real.monotonic() + skipped,
        time=lambda: real.time() + skipped,
        sleep=sleep,
        random=lambda: 0.5,
    )


@contextmanager
def _served_from_thread(simulator: "testing.PlugChatSimulator") -> Generator[None]:
    import asyncio  # noqa: PLC0415 - importing it takes half as long as pytest, and most test runs don't need it

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="plugchat_simulator", daemon=True)

    def run(step: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(step, loop).result(_THREAD_TIMEOUT)

    thread.start()
    try:
        run(simulator.__aenter__())
        try:
            yield
        finally:
            run(simulator.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_THREAD_TIMEOUT)
        loop.close()
