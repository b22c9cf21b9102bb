"""The manifest of an export: a file next to the output that lists the finished files, one JSON object per line."""

import re
from collections.abc import Iterable
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Final, Literal

import msgspec
from attrs import frozen

from plugchat_async._internal.files import lock, output_errors
from plugchat_async.errors import InvalidValueError, OutputError

# Its suffix differs from those of the listed files, and readers of whole folders skip names with a leading "_".
MANIFEST: Final = "_manifest.ndjson"
VERSION: Final = 1

# The names of files that a restart may delete.
_DELETABLE: Final = re.compile(r"(?![._]|failures\.jsonl$)[^/\\\x00]+")

Layout = Literal["accounts", "parts"]

_OTHER_EXPORT_HINT: Final = (
    "Use another folder, or start over with --restart (restart=True in Python), which replaces the earlier export's "
    "files."
)


class ManifestHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The first line: the kind of the export.

    Attributes:
        plugchat_export: The version of the format.
        format: The format of the files.
        layout: "accounts" for a file for each account, "parts" for files with several accounts.
        limit: The largest number of chats for each account, or None.
        id: The prefix of the names of the export's parts, to distinguish them from those of other exports.
        merge_people: Whether there is one chat for each person. Written only if True: older versions don't know it.
    """

    plugchat_export: int
    format: str
    layout: Layout
    limit: int | None
    id: str
    merge_people: bool = False


class ManifestEntry(msgspec.Struct, frozen=True):
    """A line for a finished file.

    Older versions ignore `problems` and `kept`. An entry with `kept` has no `chats`, so that they fetch its account
    again, too.

    Attributes:
        file: The name of the file.
        chats: The number of chats by the names of the accounts.
        unverified: The names of the accounts that are not verified.
        problems: The number of values that could not be read, by the names of the accounts that have any.
        kept: The names of the accounts whose chats in the file are those of an earlier run. They are fetched again.
    """

    file: str
    chats: dict[str, int]
    unverified: list[str] = []
    problems: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    kept: list[str] | msgspec.UnsetType = msgspec.UNSET


@frozen
class CompletedAccount:
    """A finished account.

    Attributes:
        file: The name of the file with its chats.
        chats: The number of chats.
        verified: Whether its walk is known to have missed nothing.
        problems: The number of values that could not be read (default 0).
    """

    file: str
    chats: int
    verified: bool
    problems: int = 0


class Manifest:
    """The finished files of the export into a folder.

    A killed process can leave at most an incomplete last line, which is ignored; so are lines of files that don't exist
    any more. While a manifest is open, no other run can open it, if the system supports locks.

    Args:
        folder: The folder of the export.
        file_format: The format of the files.
        layout: "accounts" or "parts".
        limit: The largest number of chats for each account (default None: no limit).
        merge_people: Whether there is one chat for each person (default False).
        restart: Whether to fetch all accounts again. If this export and the earlier one have a file for each account,
            the earlier files are kept until they are replaced. Otherwise they are deleted.

    Attributes:
        existed: Whether there was a manifest before.
        id: The id of the export.
        finished: The finished accounts by their names.
        kept: The names of files of earlier runs by the names of their accounts, which must be fetched again.

    Raises:
        InvalidValueError: The folder holds another kind of export, or the file is not a manifest.
        OutputError: The file can't be written, or another run is writing it.
    """

    def __init__(
        self,
        folder: Path,
        file_format: str,
        layout: Layout,
        *,
        limit: int | None = None,
        merge_people: bool = False,
        restart: bool,
    ) -> None:
        self._folder = folder
        self._path = folder / MANIFEST
        self.finished: dict[str, CompletedAccount] = {}
        self.kept: dict[str, str] = {}
        with output_errors(self._path):
            self._file: BinaryIO = open(self._path, "ab+")  # noqa: PTH123, SIM115 - until `close`
        try:
            self._open(ManifestHeader(VERSION, file_format, layout, limit, token_hex(4), merge_people), restart=restart)
        except BaseException:
            self._file.close()
            raise

    def _open(self, header: ManifestHeader, *, restart: bool) -> None:
        """Lock the file, read the lines of earlier runs, and write the header if there is none."""
        if not lock(self._file):
            folder = str(self._folder)
            raise OutputError(
                f"another run is exporting to {folder}", "Wait until it has ended, or use another folder.", path=folder
            )
        with output_errors(self._path):
            self._file.seek(0)
            text = self._file.read()
        complete = text[: text.rfind(b"\n") + 1]
        found, entries, bad_line = _parse(complete.splitlines())
        self.existed = found is not None
        self.id = header.id if found is None else found.id
        problem = f"line {bad_line} of {self._path} is not part of an export manifest" if bad_line else ""
        if found is not None and msgspec.structs.replace(found, id=header.id) != header:
            problem = f"{self._folder} already holds {_describe(found)}; this run would write {_describe(header)}"
        if problem and not restart:
            raise InvalidValueError(problem, _OTHER_EXPORT_HINT)
        with output_errors(self._path):
            for entry in entries:
                if (self._folder / entry.file).is_file():
                    self._remember(entry)
            if restart:
                files_stay = found is not None and found.layout == header.layout == "accounts"
                self.kept = self._files() if files_stay else {}
                self.finished = {}
                for file in {entry.file for entry in entries}.difference(self.kept.values()):
                    (self._folder / file).unlink(missing_ok=True)
        self.remove_unlisted_parts()
        with output_errors(self._path):
            self._file.truncate(0 if restart else len(complete))
        if restart or not complete:
            self.id = header.id
            # In one piece: a file that is not listed here would be nobody's.
            self._write(header, *(ManifestEntry(file, {}, kept=[name]) for name, file in self.kept.items()))

    def _files(self) -> dict[str, str]:
        """Return the names of the files that are listed, by the names of their accounts."""
        return {name: account.file for name, account in self.finished.items()} | self.kept

    def remove_unlisted_parts(self) -> None:
        """Delete the leases of all runs, which stops their workers, and the parts that are not in the manifest."""
        listed = set(self._files().values())
        prefixes = (f"part-{self.id}-", f".part-{self.id}-", f".run-{self.id}")
        with output_errors(self._folder):
            for path in self._folder.iterdir():
                if path.name.startswith(prefixes) and path.name not in listed:
                    path.unlink(missing_ok=True)

    def add(self, entry: ManifestEntry) -> None:
        """Write a finished file to the manifest at once.

        Raises:
            OutputError: The manifest can't be written.
        """
        self._write(entry)
        with output_errors(self._path):
            self._remember(entry)

    def keep(self, name: str, file: str) -> None:
        """Write to the manifest that an account keeps the file of an earlier run, unless that is its last line.

        Raises:
            OutputError: The manifest can't be written.
        """
        if self.kept.get(name) != file:
            self.add(ManifestEntry(file, {}, kept=[name]))

    def remove_kept(self, names: Iterable[str]) -> None:
        """Delete the files of earlier runs of some accounts."""
        with output_errors(self._folder):
            for name in names:
                (self._folder / self.kept.pop(name)).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the manifest."""
        with output_errors(self._path):
            self._file.close()

    def _remember(self, entry: ManifestEntry) -> None:
        problems = entry.problems or {}
        for name, chats in entry.chats.items():
            verified = name not in entry.unverified
            self.finished[name] = CompletedAccount(entry.file, chats, verified, problems.get(name, 0))
            before = self.kept.pop(name, entry.file)
            if before != entry.file:  # in another format
                (self._folder / before).unlink(missing_ok=True)
        for name in entry.kept or []:
            self.finished.pop(name, None)
            self.kept[name] = entry.file

    def _write(self, *lines: msgspec.Struct) -> None:
        with output_errors(self._path):  # at the end: the file is open for appending
            self._file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            self._file.flush()


def _parse(lines: list[bytes]) -> tuple[ManifestHeader | None, list[ManifestEntry], int]:
    """Return the header, the entries, and the number of the first line that is neither (0: all lines are good)."""
    header: ManifestHeader | None = None
    entries: list[ManifestEntry] = []
    first_bad = 0
    for number, line in enumerate(lines, 1):
        try:
            if number == 1:
                header = msgspec.json.decode(line, type=ManifestHeader)
                bad = header.plugchat_export != VERSION or not re.fullmatch(r"[0-9a-f]{8}", header.id)
            else:
                entry = msgspec.json.decode(line, type=ManifestEntry)
                bad = not _DELETABLE.fullmatch(entry.file)
                entries += [] if bad else [entry]
        except (msgspec.DecodeError, UnicodeDecodeError):
            bad = True
        if bad and number == 1:
            return None, [], 1  # not a manifest
        if bad and not first_bad:
            first_bad = number
    return header, entries, first_bad


def _describe(header: ManifestHeader) -> str:
    limit = "all chats" if header.limit is None else f"at most {header.limit} chats"
    merged = " (one chat for each person)" if header.merge_people else ""
    layout = "a file for each account" if header.layout == "accounts" else "parts with several accounts"
    return f"{limit} of each account{merged} as {header.format}, in {layout}"
