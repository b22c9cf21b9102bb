"""The pytest plugin, in test runs of made-up users."""

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points

import anyio.pytest_plugin
import pytest
import pytest_asyncio.plugin

from plugchat_async.testing import pytest_plugin

PLUGINS = {"asyncio": [pytest_asyncio.plugin], "anyio": [anyio.pytest_plugin], "": []}
Run = Callable[..., pytest.RunResult]

HEAD = """
import asyncio, threading, time
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from plugchat_async import PlugChatSession, RateLimitedError, ServerError, SessionStateError, Clock
from plugchat_async.testing import Fault, PlugChatSimulator, Quirks


def ask(sim):
    headers = {"Authorization": sim.token, "Content-Type": "application/json"}
    url = f"{sim.base_url}/api/whatsapp/chats?page=1&pageSize=5"
    try:
        with urlopen(Request(url, headers=headers), timeout=10) as answer:
            return answer.status
    except HTTPError as error:
        error.close()
        return error.code
"""
CONFIGURATION = """
[pytest]
addopts = --strict-markers --strict-config
asyncio_default_fixture_loop_scope = function
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that runs a module of tests, with warnings as errors, our plugin and the one for `loops`."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(code: str, *args: str, loops: str = "asyncio", mode: str = "auto") -> pytest.RunResult:
        pytester.makeini(CONFIGURATION if loops == "asyncio" else CONFIGURATION.partition("asyncio")[0])
        pytester.makepyfile(HEAD + code)
        modes = [f"--asyncio-mode={mode}"] if loops == "asyncio" else []
        plugins = [pytest_plugin, *PLUGINS[loops]]
        return pytester.runpytest_inprocess(*modes, "-W", "error", *args, plugins=plugins)

    return run


THREE_LINES = """
@pytest.mark.plugchat_faults(Fault.status(503), Fault.reset())
async def test_it(plugchat_session, plugchat_simulator):
    assert await plugchat_session.list_chats(limit=100) == list(plugchat_simulator.chats)
    assert len(plugchat_simulator.requests) == 2 + 1
"""


def test_three_lines_do_in_auto_mode(run: Run) -> None:
    """The account is served, its first requests meet the faults, and the session gets over them."""
    run(THREE_LINES).assert_outcomes(passed=1)


def test_three_lines_and_a_mark_do_in_strict_mode(run: Run) -> None:
    """pytest-asyncio's default mode wants its mark on the test, and nothing else of the user."""
    run("\n@pytest.mark.asyncio" + THREE_LINES, mode="strict").assert_outcomes(passed=1)


def test_anyio_will_do(run: Run) -> None:
    """Without pytest-asyncio, tests that are marked for anyio's plugin can use both fixtures."""
    code = "\n@pytest.fixture\ndef anyio_backend():\n    return BACKEND\n\n@pytest.mark.anyio" + THREE_LINES
    for backend in ("'asyncio'", "('asyncio', {'debug': True})"):
        run(code.replace("BACKEND", backend), loops="anyio").assert_outcomes(passed=1)


def test_pytest_finds_the_plugin() -> None:
    """Where the package is installed, nothing has to be configured."""
    [found] = entry_points(group="pytest11", name="plugchat")
    assert found.value == "plugchat_async.testing.pytest_plugin"


def test_the_markers_are_told(run: Run) -> None:
    """`pytest --markers` explains all three."""
    told = run("", "--markers").stdout.str()
    for marker in (
        "plugchat_faults(*faults, page=None)",
        "plugchat_simulator(**options)",
        "plugchat_session(**options)",
    ):
        assert f"@pytest.mark.{marker}: " in told


@pytest.mark.parametrize("mode", ["auto", "strict"])
@pytest.mark.parametrize("scope", ["function", "class", "module", "package", "session"])
def test_the_fixtures_are_in_the_tests_loop(run: Run, scope: str, mode: str) -> None:
    """Whichever loop pytest-asyncio runs a test in: its own, or one that it shares."""
    code = f"""
class TestIt:
    @pytest.mark.asyncio(loop_scope="{scope}")
    async def test_it(self, plugchat_session, plugchat_simulator):
        plugchat_simulator.traffic(every=60)  # refused in any other loop
        assert len(await plugchat_session.list_chats()) == 100
"""
    run(code, mode=mode).assert_outcomes(passed=1)


def test_the_default_loop_scope_counts(run: Run) -> None:
    """Tests that share a loop by configuration share it with the fixtures."""
    code = """
loops = set()

@pytest.mark.parametrize("number", [1, 2])
async def test_it(plugchat_session, number):
    loops.add(asyncio.get_running_loop())
    assert len(loops) == 1
    assert len(await plugchat_session.list_chats()) == 100
"""
    run(code, "-o", "asyncio_default_test_loop_scope=module").assert_outcomes(passed=2)


@pytest.mark.parametrize("loops", ["", "asyncio"])
def test_a_sync_test_is_served_from_a_thread(run: Run, loops: str) -> None:
    """Code under test may block, or have an event loop of its own; no plugin for async tests is needed."""
    code = """
@pytest.mark.plugchat_faults(Fault.status(503))
def test_it(plugchat_simulator, plugchat_env):
    assert [ask(plugchat_simulator) for _ in range(2)] == [503, 200]

    async def walk():
        async with PlugChatSession.from_env() as plugchat:
            return await plugchat.list_chats()

    new = plugchat_simulator.new_chat()
    assert asyncio.run(walk())[0] == new

def test_no_thread_is_left():
    assert [thread for thread in threading.enumerate() if "plugchat" in thread.name] == []
"""
    run(code, loops=loops).assert_outcomes(passed=2)


@pytest.mark.parametrize("test", ["async def", "def"])
def test_the_environment_leads_to_the_simulator(run: Run, test: str) -> None:
    """Of an async and a sync test, until its end."""
    code = f"""
import os

{test} test_it(plugchat_env, plugchat_simulator):
    assert os.environ["PLUGCHAT_TOKEN"] == plugchat_simulator.token
    assert os.environ["PLUGCHAT_BASE_URL"] == plugchat_simulator.base_url

def test_afterwards():
    assert not {{"PLUGCHAT_TOKEN", "PLUGCHAT_BASE_URL"}} & set(os.environ)
"""
    run(code).assert_outcomes(passed=2)


def test_both_are_closed_after_the_test(run: Run) -> None:
    """In either kind of test, also if it fails or a request hangs; then nobody listens any more."""
    code = """
used = []

@pytest.mark.plugchat_faults(Fault.hang())
async def test_that_fails(plugchat_session, plugchat_simulator):
    used.extend([(plugchat_session, plugchat_simulator.base_url)])
    hanging = asyncio.create_task(plugchat_session.list_chats())
    while not plugchat_simulator.requests:
        await asyncio.sleep(0)
    hanging.add_done_callback(lambda task: used.append(task.exception()))
    raise AssertionError("on purpose")

def test_afterwards():
    session, url = used[0]
    assert repr(session).endswith(" closed>")
    assert isinstance(used[1], SessionStateError)
    with pytest.raises(URLError):
        urlopen(url)

@pytest.mark.plugchat_faults(Fault.hang())
def test_that_fails_in_sync(plugchat_simulator):
    used[:] = [plugchat_simulator.base_url]
    thread = threading.Thread(target=lambda: pytest.raises(OSError, ask, plugchat_simulator))
    thread.start()
    used.append(thread)
    while not plugchat_simulator.requests:
        time.sleep(0)
    raise AssertionError("on purpose")

def test_afterwards_too():
    url, thread = used
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(URLError):
        urlopen(url)
"""
    result = run(code)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["E * AssertionError: on purpose"] * 2)


def test_faults_of_a_page(run: Run) -> None:
    """Requests for other pages are answered."""
    code = """
@pytest.mark.plugchat_faults(Fault.status(501).always(), page=2)
async def test_it(plugchat_session):
    assert (await plugchat_session.fetch_page(1, 10)).chats
    for _ in range(2):
        with pytest.raises(ServerError):
            await plugchat_session.fetch_page(2, 10)
"""
    run(code).assert_outcomes(passed=1)


def test_waits_between_retries_take_no_time(run: Run) -> None:
    """The session's clock jumps over them, and the server's wishes count."""
    code = """
@pytest.mark.plugchat_faults(Fault.status(503, headers={"Retry-After": "30"}), Fault.status(503))
async def test_it(plugchat_session):
    started, reports = time.monotonic(), []
    await plugchat_session.list_chats(on_report=reports.append)
    assert reports[0].elapsed >= 30.5
    assert time.monotonic() - started < 20

@pytest.mark.plugchat_faults(Fault.status(503), Fault.status(503), Fault.status(503))
async def test_the_waits_are_known(plugchat_session):
    with pytest.raises(ServerError) as caught:
        await plugchat_session.list_chats()
    assert [attempt.wait for attempt in caught.value.attempts] == [0.25, 0.5, 0.0]

@pytest.mark.plugchat_faults(*[Fault.status(429, headers={"Retry-After": "40"})] * 2)
async def test_the_deadline_counts(plugchat_session):
    with pytest.raises(RateLimitedError) as caught:
        await plugchat_session.list_chats()
    assert len(caught.value.attempts) == 2
    assert caught.value.elapsed >= 40

@pytest.mark.plugchat_faults(Fault.status(429, headers={"Retry-After": "61"}))
async def test_too_long_is_too_long(plugchat_session):
    with pytest.raises(RateLimitedError):
        await plugchat_session.fetch_page(1, 10)
"""
    run(code).assert_outcomes(passed=4)


def test_options_of_the_simulator_and_the_session(run: Run) -> None:
    """Those of module, class and test add up, and the nearest counts."""
    code = """
slept = []

async def sleep(seconds):
    slept.append(seconds)

pytestmark = pytest.mark.plugchat_simulator(chats=30, seed=7)

def same(sim, **options):
    return sim.chats == PlugChatSimulator(**options).chats

def test_of_the_module(plugchat_simulator):
    assert same(plugchat_simulator, chats=30, seed=7)

@pytest.mark.plugchat_simulator(chats=20)
@pytest.mark.plugchat_session(token="wrong")
class TestClass:
    def test_of_the_class(self, plugchat_simulator):
        assert same(plugchat_simulator, chats=20, seed=7)

    @pytest.mark.plugchat_simulator(chats=10, quirks=Quirks(max_page_size=5))
    @pytest.mark.plugchat_session(token="simulated-token", clock=Clock(sleep=sleep))
    @pytest.mark.plugchat_faults(Fault.status(503))
    async def test_of_its_own(self, plugchat_session, plugchat_simulator):
        assert same(plugchat_simulator, chats=10, seed=7)
        assert len((await plugchat_session.fetch_page(1, 10)).chats) == 5
        assert len(slept) == 1
"""
    run(code).assert_outcomes(passed=3)


def test_faults_add_up_from_the_outside_in(run: Run) -> None:
    """The module's come first, then the class's, then the test's from top to bottom, and its parameter's."""
    code = """
pytestmark = pytest.mark.plugchat_faults(Fault.status(501))

@pytest.mark.plugchat_faults(Fault.status(502))
class TestClass:
    @pytest.mark.plugchat_faults(Fault.status(503), Fault.status(504))
    @pytest.mark.plugchat_faults(Fault.status(505))
    def test_all(self, plugchat_simulator):
        assert [ask(plugchat_simulator) for _ in range(6)] == [501, 502, 503, 504, 505, 200]

@pytest.mark.parametrize(
    "met", [pytest.param([501, 500, 200], marks=pytest.mark.plugchat_faults(Fault.status(500))), [501, 200, 200]]
)
def test_a_parameter(plugchat_simulator, met):
    assert [ask(plugchat_simulator) for _ in range(3)] == met

def test_that_uses_none_of_it():
    pass
"""
    run(code).assert_outcomes(passed=4)


def test_a_simulator_of_the_users_own_is_taken(run: Run, pytester: pytest.Pytester) -> None:
    """A fixture of the same name, such as in a conftest.py, changes what the session is on."""
    pytester.makeconftest("""
import pytest

@pytest.fixture
def plugchat_simulator(plugchat_simulator):
    plugchat_simulator.delete_chat(plugchat_simulator.chats[0])
    return plugchat_simulator
""")
    run(
        "async def test_it(plugchat_session):\n    assert len(await plugchat_session.list_chats()) == 99"
    ).assert_outcomes(passed=1)


def test_fixtures_on_the_session(run: Run) -> None:
    """Users' own async fixtures find it open, from their first line to their last."""
    code = """
@pytest.fixture
async def newest(plugchat_session):
    yield (await plugchat_session.list_chats())[0]
    assert await plugchat_session.list_chats()

async def test_it(newest, plugchat_simulator):
    assert newest == plugchat_simulator.chats[0]
"""
    run(code).assert_outcomes(passed=1)


def test_an_escaped_fault_is_readable(run: Run) -> None:
    """The test fails with the SDK's error: what happened, how often, and what to do."""
    code = """
@pytest.mark.plugchat_faults(*[Fault.status(503)] * 3)
async def test_it(plugchat_session):
    await plugchat_session.list_chats()
"""
    result = run(code)
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [r"E +plugchat_async\.errors\.ServerError: HTTP 503 .*\(page 1, .* 3 requests.*try again"]
    )


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("plugchat_faults(503)", "use one or more Faults, as in *. Got 503."),
        ("plugchat_faults([Fault.reset()])", "use one or more Faults, as in *. Got [[]Fault(*"),
        ("plugchat_faults(Fault.reset(), token='x')", "use one or more Faults, as in *. Got 'token'."),
        ("plugchat_faults", "use one or more Faults, as in *. Got none."),
        ("plugchat_faults(Fault.reset(), page='x')", "page must be an int, got 'x'*"),
        ("plugchat_faults(Fault.hang().always(), Fault.none())", "*would never happen*"),
        ("plugchat_simulator(1000)", "use options of PlugChatSimulator, by name: chats, seed,*. Got 1000."),
        ("plugchat_simulator(chat=1)", "use options of PlugChatSimulator, by name: chats, seed,*. Got 'chat'."),
        ("plugchat_simulator(chats=-1)", "chats must be at least 0, got -1. Use 0 or more."),
        ("plugchat_session('x')", "use options of PlugChatSession, by name: token, timeout,*. Got 'x'."),
        ("plugchat_session(timeout=0)", "timeout must be a finite number above 0, got 0.*"),
        ("plugchat_session(retry=3)", "retry must be *RetryPolicy*, got *"),
    ],
    ids=lambda value: value.partition("(")[0],
)
@pytest.mark.parametrize("test", ["async def", "def"])
def test_a_marker_that_is_used_wrongly_says_so(run: Run, marker: str, told: str, test: str) -> None:
    """The error names the marker and what it takes, and shows no traceback of ours; other tests go on."""
    if marker.startswith("plugchat_session"):
        fixture, test = "plugchat_session", "async def"
    else:
        fixture = "plugchat_simulator"
    code = f"""
@pytest.mark.{marker}
{test} test_it({fixture}):
    pass

async def test_other({fixture}):
    pass
"""
    result = run(code)
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines([f"@pytest.mark.{marker.partition('(')[0]}: {told}"])
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")
    result.stdout.no_fnmatch_line("*During handling*")


def test_faults_that_would_never_happen_are_refused(run: Run) -> None:
    """A test of its own marker must use the simulator; a class's or module's may be meant for others."""
    code = """
@pytest.mark.plugchat_faults(Fault.reset())
def test_it():
    pass

@pytest.mark.plugchat_simulator(chats=5)
def test_of_an_option():
    pass

@pytest.mark.plugchat_faults(Fault.reset())
class TestClass:
    def test_other(self):
        pass
"""
    result = run(code)
    result.assert_outcomes(errors=2, passed=1)
    told = [
        f"@pytest.mark.plugchat_{name}: this test does not use plugchat_simulator, *"
        for name in ("faults", "simulator")
    ]
    result.stdout.fnmatch_lines(told)


def test_options_of_a_session_that_is_not_used_are_refused(run: Run) -> None:
    """With plugchat_env the program makes its own, which knows nothing of the marker."""
    code = """
@pytest.mark.plugchat_session(token="wrong")
def test_it(plugchat_env):
    pass

@pytest.mark.plugchat_session(token="wrong")
async def test_used(plugchat_session):
    pass

@pytest.fixture
def looked_up(request):
    return request.getfixturevalue("plugchat_session")

@pytest.mark.plugchat_session(token="wrong")
async def test_by_a_fixture(looked_up):
    pass

@pytest.mark.plugchat_session(token="wrong")
class TestClass:
    def test_other(self):
        pass
"""
    result = run(code)
    result.assert_outcomes(errors=1, passed=3)
    result.stdout.fnmatch_lines(["@pytest.mark.plugchat_session: this test does not use plugchat_session, *"])


def test_the_simulator_may_be_asked_for_later(run: Run) -> None:
    """By a test, or a fixture, that looks it up by name: its faults happen."""
    code = """
@pytest.fixture
def looked_up(request):
    return request.getfixturevalue("plugchat_simulator")

@pytest.mark.plugchat_faults(Fault.none())
def test_it(request):
    assert request.getfixturevalue("plugchat_simulator").chats

@pytest.mark.plugchat_faults(Fault.none())
def test_by_a_fixture(looked_up):
    assert looked_up.chats
"""
    run(code).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("loops", "mode", "test"),
    [
        ("asyncio", "auto", "def"),
        ("asyncio", "strict", "async def"),
        ("", "", "def"),
        ("", "", "async def"),
    ],
)
def test_without_a_loop_the_session_says_what_to_do(run: Run, loops: str, mode: str, test: str) -> None:
    """Install pytest-asyncio, mark the test, or set its auto mode."""
    result = run(f"{test} test_it(plugchat_session):\n    pass", loops=loops, mode=mode)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["plugchat_session needs an asyncio event loop*install pytest-asyncio*@pytest.mark.asyncio*asyncio_mode = *"]
    )


def test_other_loops_than_asyncios_are_none(run: Run) -> None:
    """aiohttp knows no other: on anyio's backend trio the session can't be had."""
    code = """
@pytest.fixture
def anyio_backend():
    return "trio"

@pytest.mark.usefixtures("anyio_backend")
async def test_it(plugchat_session):
    pass
"""
    result = run(code, loops="")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["plugchat_session needs an asyncio event loop, *anyio's plugin*'asyncio'*"])


def test_an_async_test_that_nobody_runs_is_left_to_pytest(run: Run) -> None:
    """pytest itself says which plugins there are."""
    result = run("async def test_it(plugchat_simulator):\n    pass", loops="")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["async def functions are not natively supported*", "*pytest-asyncio*"])


@pytest.mark.slow
def test_a_whole_run_leaves_nothing_behind(pytester: pytest.Pytester) -> None:
    """In Python's development mode, with warnings as errors: no socket, task or loop stays open."""
    pytester.makeini(CONFIGURATION)
    pytester.makepyfile(
        HEAD
        + """
@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [
    pytest.param(fault, marks=pytest.mark.plugchat_faults(fault))
    for fault in (Fault.status(503), Fault.reset(), Fault.close(), Fault.truncate(), Fault.raw(b"x"), Fault.delay(0.01))
], ids=lambda fault: fault.kind)
async def test_async(plugchat_session, fault):
    assert len(await plugchat_session.list_chats(prefetch=2)) == 100

@pytest.mark.plugchat_faults(Fault.hang())
def test_sync(plugchat_simulator):
    with pytest.raises(OSError):
        urlopen(plugchat_simulator.base_url + "/api/whatsapp/chats", timeout=0.1)
    assert ask(plugchat_simulator) == 200
"""
    )
    result = pytester.run(sys.executable, "-X", "dev", "-W", "error", "-m", "pytest", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=7)
    assert result.stderr.str() == ""


LOADED = """
import sys
from pathlib import Path

def test_of_somebody_else():
    Path("loaded").write_text("\\n".join(sys.modules))
"""


@pytest.mark.slow
def test_nothing_is_loaded_unless_it_is_used(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has the plugin and does not use it loads three empty modules; one that uses it loads the rest."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def loaded(code: str, *args: str) -> set[str]:
        pytester.makepyfile(code)
        pytester.runpytest_subprocess(*args).assert_outcomes(passed=1)
        return set((pytester.path / "loaded").read_text().split())

    more = loaded(LOADED, "-p", "plugchat") - loaded(LOADED)
    assert {name for name in more if name.partition(".")[0] not in sys.stdlib_module_names} == {
        "plugchat_async",
        "plugchat_async.testing",
        "plugchat_async.testing.pytest_plugin",
    }
    assert "asyncio" not in more
    more = loaded(LOADED.replace("else()", "else(plugchat_simulator)"), "-p", "plugchat")
    assert {"aiohttp", "asyncio", "plugchat_async.testing.simulator"} <= more


def test_the_plugin_needs_no_other() -> None:
    """Its module imports where there is nothing but pytest and the standard library."""
    code = """
import sys
libraries = ("aiohttp", "aiolimiter", "attr", "attrs", "cattrs", "msgspec", "pytest_asyncio", "anyio")
sys.modules.update(dict.fromkeys(libraries))
import plugchat_async.testing.pytest_plugin
"""
    subprocess.run([sys.executable, "-c", code], check=True)
