"""What an export of many accounts has finished: a file beside its output, with a line of JSON for each file of it."""

import re
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Final, Literal

import msgspec
from attrs import frozen

from plugchat_async._internal.files import lock, output_errors
from plugchat_async.errors import InvalidValueError, OutputError

# Not of the suffix of what it lists, and hidden from readers of whole folders, which pass over a leading "_".
MANIFEST: Final = "_manifest.ndjson"
VERSION: Final = 1

# What a file may be named that is removed for a fresh export.
_FILE: Final = re.compile(r"(?![._]|failures\.jsonl$)[^/\\\x00]+")

Layout = Literal["accounts", "parts"]

_OTHER_KIND_HINT: Final = (
    "Give another folder, or start over with --restart (restart=True in Python): it removes the files of the earlier "
    "export."
)


class Heading(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The first line. layout: a file for each account, or parts that hold several. limit: of chats for each account.

    id: what the names of its parts begin with, so that no other export's are taken for them. merge_people: whether
    there is one chat for each person; only written if so, since older versions do not know of it.
    """

    plugchat_export: int
    format: str
    layout: Layout
    limit: int | None
    id: str
    merge_people: bool = False


class Entry(msgspec.Struct, frozen=True):
    """A finished file: its name, how many chats of which accounts it holds, and which of them are not verified.

    problems: how many values could not be read, of the accounts that have any.
    """

    file: str
    chats: dict[str, int]
    unverified: list[str] = []
    problems: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


@frozen
class Finished:
    """What is known of a finished account: its file, how many chats, whether they are verified, and bad values."""

    file: str
    chats: int
    verified: bool
    problems: int = 0


class Manifest:
    """The finished files of the export into a folder. `add` writes one down at once.

    A process that is killed can tear the last line only, which is then dropped, as is a file that is gone. While it is
    open no other run can open it, where the system can keep it from that.

    existed: whether there was one. id: the export's. finished: the accounts that are, by their names.

    merge_people: whether its files have one chat for each person.
    fresh: begin anew; the files of the earlier export are removed. InvalidValueError if the folder holds another kind
    of export, or what is no manifest; OutputError if it can't be written, or another run writes it.
    """

    def __init__(
        self,
        folder: Path,
        style: str,
        layout: Layout,
        *,
        limit: int | None = None,
        merge_people: bool = False,
        restart: bool,
    ) -> None:
        self._folder = folder
        self._path = folder / MANIFEST
        self.finished: dict[str, Finished] = {}
        with output_errors(self._path):
            self._file: BinaryIO = open(self._path, "ab+")  # noqa: PTH123, SIM115 - until `close`
        try:
            self._begin(Heading(VERSION, style, layout, limit, token_hex(4), merge_people), restart=restart)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, heading: Heading, *, restart: bool) -> None:
        if not lock(self._file):
            folder = str(self._folder)
            raise OutputError(f"another run exports into {folder}", "Let it end, or give another folder.", path=folder)
        with output_errors(self._path):
            self._file.seek(0)
            text = self._file.read()
        whole = text[: text.rfind(b"\n") + 1]
        found, entries, wrong = _read(whole.splitlines())
        self.existed = found is not None
        self.id = heading.id if found is None else found.id
        trouble = f"{self._path}: line {wrong} is none of an export's" if wrong else ""
        if found is not None and msgspec.structs.replace(found, id=heading.id) != heading:
            trouble = f"{self._folder} already holds {_describe(found)}; this run would write {_describe(heading)}"
        if trouble and not restart:
            raise InvalidValueError(trouble, _OTHER_KIND_HINT)
        with output_errors(self._path):
            for entry in entries:
                if restart:
                    (self._folder / entry.file).unlink(missing_ok=True)
                elif (self._folder / entry.file).is_file():
                    self._note(entry)
        self.remove_uncounted()
        with output_errors(self._path):
            self._file.truncate(0 if restart else len(whole))
        if restart or not whole:
            self.id = heading.id
            self._write(heading)

    def remove_uncounted(self) -> None:
        """Remove leases, so that what still runs writes no more, and parts that were not counted, whole or not."""
        counted = {finished.file for finished in self.finished.values()}
        with output_errors(self._folder):
            for path in self._folder.iterdir():
                name = path.name
                if (
                    name.startswith((f"part-{self.id}-", f".part-{self.id}-", f".run-{self.id}"))
                    and name not in counted
                ):
                    path.unlink(missing_ok=True)

    def add(self, entry: Entry) -> None:
        """Note that a file is finished. OutputError if that can't be written."""
        self._write(entry)
        self._note(entry)

    def close(self) -> None:
        """Close the file."""
        with output_errors(self._path):
            self._file.close()

    def _note(self, entry: Entry) -> None:
        problems = entry.problems or {}
        for name, chats in entry.chats.items():
            self.finished[name] = Finished(entry.file, chats, name not in entry.unverified, problems.get(name, 0))

    def _write(self, line: msgspec.Struct) -> None:
        with output_errors(self._path):  # it was opened to be appended to
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()


def _read(lines: list[bytes]) -> tuple[Heading | None, list[Entry], int]:
    """Give the heading, the entries, and the number of the first line that is neither (0: there is none)."""
    heading: Heading | None = None
    entries: list[Entry] = []
    first_wrong = 0
    for number, line in enumerate(lines, 1):
        try:
            if number == 1:
                heading = msgspec.json.decode(line, type=Heading)
                wrong = heading.plugchat_export != VERSION or not re.fullmatch(r"[0-9a-f]{8}", heading.id)
            else:
                entry = msgspec.json.decode(line, type=Entry)
                wrong = not _FILE.fullmatch(entry.file)
                entries += [] if wrong else [entry]
        except (msgspec.DecodeError, UnicodeDecodeError):
            wrong = True
        if wrong and number == 1:
            return None, [], 1  # not ours
        if wrong and not first_wrong:
            first_wrong = number
    return heading, entries, first_wrong


def _describe(heading: Heading) -> str:
    limit = "all chats" if heading.limit is None else f"at most {heading.limit} chats"
    merged = " (one chat for each person)" if heading.merge_people else ""
    layout = "a file for each account" if heading.layout == "accounts" else "parts with several accounts"
    return f"{limit} of each account{merged} as {heading.format}, in {layout}"
