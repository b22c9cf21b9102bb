"""The soak: a short one, and that it notices what it is there to notice."""

import gc
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

import soak
from faults.soaking.accounts import MARK, Known, Spec, specs
from faults.soaking.descriptors import room
from faults.soaking.ground import Ground, Order
from faults.soaking.growth import Sample, grown
from faults.soaking.plants import Plants
from faults.soaking.simulator import Served
from faults.soaking.stopped import Command, wrong_files
from faults.soaking.tally import Tally
from faults.soaking.walk import Walk
from plugchat_async import Chat, ServerError, WalkReport
from soak import main
from support.simulated import key_of

SOAK = Path(soak.__file__)
QUIET = Spec(f"{MARK}-7", 5, 7, "quiet")


def soaked(*arguments: str, limit: int | None = None) -> tuple[int, str]:
    """Run the command, with `limit` descriptors at most."""

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit or 0, limit or 0))

    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(SOAK), *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        preexec_fn=None if limit is None else lower,
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_short_soak() -> None:
    """A few seconds with a hundred walks at a time: nothing is violated, and much has happened."""
    code, said = soaked("--seconds", "3", "--walks", "100")
    assert "nothing was violated" in said
    assert code == 0
    begun = re.search(r"walks +([0-9,]+) begun, .* whole, ", said)
    assert begun is not None
    assert int(begun[1].replace(",", "")) > 100
    faults = re.search(r"faults +.*", said)
    assert faults is not None
    assert faults[0].count(",") > 8


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_few_descriptors_are_enough() -> None:
    """Fewer requests are in flight then, and it says so."""
    code, said = soaked("--seconds", "1", "--walks", "60", limit=360)
    assert "few descriptors: 2 instead of 4 requests in flight a session" in said
    assert "nothing was violated" in said
    assert code == 0


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_is_planted_is_noticed() -> None:
    """A lost chat or file, a walk that hangs, an odd error, what is left behind, a token in a log, wrong sums."""
    plants = ["chat", "hang", "foreign", "task", "descriptor", "exception", "warning", "token", "count", "pages"]
    plants += ["file", "part"]
    code, said = soaked(
        *("--seconds", "2", "--walks", "40", "--grace", "12"), *[part for one in plants for part in ("--plant", one)]
    )
    assert code == 1
    for words in (
        "chats were lost",
        "it hangs: alone:",
        "a foreign error came out: Traceback",
        "KeyError: 'planted'",
        "tasks are left: <Task pending",
        "descriptors are left",
        "Future exception was never retrieved",
        "ResourceWarning: unclosed file",
        "a token is in the log of plugchat_async.planted",
        "walks read more pages of an account than were asked for",
        "chats of a file",
        "1 parts of files are left",
    ):
        assert words in said, said
    assert re.search("VIOLATED 1 times: [0-9]+ walks began, and [0-9]+ ended", said)


def test_what_grows_is_noticed() -> None:
    """From the second quarter of the samples to the last; what swings is not, nor what grows at the beginning."""
    swinging = [Sample(second, 100, 500 + second % 7, 300, 9000, 90_000_000) for second in range(60)]
    begun = [Sample(second, 0, 9, 9, 9, 9) for second in range(12)]
    assert grown(begun + swinging) == []
    growing = [Sample(n, 100, 500 + 5 * n, 300 + 4 * n, 9000 + 90 * n, 90_000_000 + 1_000_000 * n) for n in range(60)]
    assert [growth.split()[0] for growth in grown(growing)] == ["tasks", "descriptors", "objects", "rss"]


async def test_chats_are_no_objects_that_grow() -> None:
    """Walks keep what they have yielded, to compare it with other rows: more, the longer they last."""
    gc.collect()  # what earlier tests have left would go in between
    before = Sample.take(0, 0).objects
    kept = [Chat(str(number)) for number in range(1000)]
    reports = [WalkReport(1, 1, 5, 0, 0, 1, verified=True, reason="", elapsed=0.1) for _ in range(100)]
    assert len(reports) <= Sample.take(0, 0).objects - before < len(kept)
    del reports


def test_what_is_wrong_with_a_walk_is_noticed() -> None:
    """Chats that are missing, that come twice, or that the account never had; those of a walk that failed may miss."""
    known = Known.of(QUIET)
    keys = [key_of(chat) for chat in QUIET.make().chats]
    proven = WalkReport(1, 1, 5, 0, 0, 1, verified=True, reason="", elapsed=0.1)
    walk = Walk(known, "exact", keys=keys, reports=[proven])
    assert walk.wrong(whole=True) == ""
    walk.keys = keys[1:]
    assert walk.wrong(whole=False) == ""
    assert walk.wrong(whole=True) == "1 of 5 chats were lost (exact, quiet, not resumed)"
    walk.reports = [evolve(proven, verified=False)]
    assert walk.wrong(whole=True) == ""
    walk.keys = keys[:2] * 2
    assert "2 chats came twice" in walk.wrong(whole=False)
    walk.keys = ["another's"]
    assert "1 chats came that the account never had" in walk.wrong(whole=False)


@pytest.mark.parametrize("refused", [False, True])
def test_what_a_plain_walk_loses_is_noticed(*, refused: bool) -> None:
    """Unless the server refused a page of the account: then it took that for the end of the list."""
    one = Tally(Plants())
    known = Known.of(QUIET)
    walk = one.begin(known, "plain")
    walk.keys = [key_of(chat) for chat in QUIET.make().chats][1:]
    one.finish(walk, None)
    assert not one.violations
    told = {"violations": [], "asked": {QUIET.token: 1}, "refused": [QUIET.token] if refused else []}
    one.add_up(told, [known])
    assert one.violations == ({} if refused else {"1 of 5 chats were lost (plain, quiet, not resumed)": 1})


def test_how_a_walk_ends_is_noticed() -> None:
    """With a token in its error, or cancelled though nobody had told it so."""
    one = Tally(Plants())
    known = Known.of(QUIET)
    one.finish(one.begin(known, "exact"), ServerError(f"it was {QUIET.token}"))
    assert one.violations == {"a token is in the text of ServerError": 1}
    one = Tally(Plants())
    one.finish(one.begin(known, "exact"), None, cancelled=True)
    assert one.violations == {"a walk was cancelled that nobody had cancelled": 1}


def test_what_is_wrong_with_files_is_noticed(tmp_path: Path) -> None:
    """Of exports and commands that were stopped: what is missing, what comes twice, and what is left beside them."""
    known = Known.of(QUIET)
    lines = [f'{{"phone": "{key_of(chat)}"}}\n' for chat in QUIET.make().chats if chat.phone]
    known.always = frozenset(key_of(chat) for chat in QUIET.make().chats if chat.phone)
    file = tmp_path / "x.jsonl"
    assert wrong_files(tmp_path, {"x": known}, "jsonl") == [
        f"of {len(lines)} chats of a file {len(lines)} were lost, and 0 came (stopped)"
    ]
    file.write_text("".join(lines))
    assert wrong_files(tmp_path, {"x": known}, "jsonl") == []
    file.write_text("".join([*lines, lines[0]]))
    assert wrong_files(tmp_path, {"x": known}, "jsonl") == [
        f"of {len(lines)} chats of a file 0 were lost, and {len(lines) + 1} came (stopped)"
    ]
    (tmp_path / ".x.part").touch()
    (tmp_path / "c.lock").touch()
    assert wrong_files(tmp_path, {}, "jsonl") == ["2 parts of files are left"]


@pytest.mark.parametrize(
    ("code", "said", "wrong"),
    [
        (128 + signal.SIGTERM, "stopped by SIGTERM: run the same command again.", None),
        (2, "error: page 1: HTTP 401 Unauthorized", None),
        (2, "error: the output has 0 bytes", "a command is refused: error"),
        (1, f"error: {QUIET.token}", "a token is in what a command says"),
        (1, "Traceback (most recent call last):", "a command ends with a traceback: Traceback"),
        (-signal.SIGKILL, "", "a command does not end by SIGTERM"),
    ],
)
def test_how_a_command_ends_is_noticed(code: int, said: str, wrong: str | None) -> None:
    """It was to end by SIGTERM."""
    ground = Ground(Order(1, 1.0, 1.0, 1, 1))
    Command(["bulk"], "SIGTERM").look_at(ground, said, code)
    assert [found[: len(wrong or "")] for found in ground.tally.violations] == ([] if wrong is None else [wrong])
    assert ground.tally.stops.total() == 1


async def test_too_many_requests_in_flight_are_noticed() -> None:
    """If it is not for a moment."""
    sim = Served([QUIET], 1, 4)
    sim.in_flight[QUIET.token] = 5
    for _ in range(7):
        sim.look()
    assert sim.violations == []
    sim.look()
    assert sim.violations == ["5 requests in flight of an account that may have 4"]


async def test_new_chats_are_known_beforehand() -> None:
    """The client's process makes the same accounts as the simulator's, whatever happens in these."""
    some = specs(20, 3)
    sim = Served(some, 3, 4)
    for _ in range(500):
        for number, spec in enumerate(some):
            if spec.kind != "quiet":
                sim.move_one(number)
    for spec, account in zip(some, sim.accounts, strict=True):
        known = Known.of(spec)
        keys = {key_of(chat) for chat in account.chats}
        assert known.always <= keys <= known.ever
        assert (keys > known.always) == (spec.kind == "growing") or spec.kind == "shrinking"


def test_room_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of descriptors is raised as far as it may be; if that is not enough, less is in flight."""
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    for hard, most in ((100_000, 4), (4200, 4), (4199, 3), (1024, 1), (resource.RLIM_INFINITY, 4)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, hard=hard: (256, hard))
        assert room(1000, 4) == most
    assert raised == [(4200, 100_000), (4200, 4200), (4199, 4199), (1024, 1024), (4200, resource.RLIM_INFINITY)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_end_its_commands_wherever_it_runs(number: signal.Signals) -> None:
    """In the background of a script, too, which starts it with SIGINT ignored; and so does nohup with SIGHUP."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit):
            main(["--help"])
        code = f"import signal; print(signal.getsignal({number.value}) is signal.SIG_IGN)"
        started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    finally:
        signal.signal(number, before)
    assert started.stdout == "False\n"


def test_the_command_wants_one_duration(capsys: pytest.CaptureFixture[str]) -> None:
    """Minutes or seconds."""
    with pytest.raises(SystemExit):
        main(["--minutes", "1", "--seconds", "1"])
    assert "not allowed with" in capsys.readouterr().err
