"""The manifest of an export: a file next to the output that lists the finished files, one JSON object per line."""

import re
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
    "Use another folder, or start over with --restart (restart=True in Python), which deletes the files of the earlier "
    "export."
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

    Attributes:
        file: The name of the file.
        chats: The number of chats by the names of the accounts.
        unverified: The names of the accounts that are not verified.
        problems: The number of values that could not be read, by the names of the accounts that have any.
    """

    file: str
    chats: dict[str, int]
    unverified: list[str] = []
    problems: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


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
        restart: Whether to start from scratch, and delete the files of the earlier export.

    Attributes:
        existed: Whether there was a manifest before.
        id: The id of the export.
        finished: The finished accounts by their names.

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
                if restart:
                    (self._folder / entry.file).unlink(missing_ok=True)
                elif (self._folder / entry.file).is_file():
                    self._remember(entry)
        self.remove_unlisted_parts()
        with output_errors(self._path):
            self._file.truncate(0 if restart else len(complete))
        if restart or not complete:
            self.id = header.id
            self._write(header)

    def remove_unlisted_parts(self) -> None:
        """Delete the leases of all runs, which stops their workers, and the parts that are not in the manifest."""
        listed = {account.file for account in self.finished.values()}
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
        self._remember(entry)

    def close(self) -> None:
        """Close the manifest."""
        with output_errors(self._path):
            self._file.close()

    def _remember(self, entry: ManifestEntry) -> None:
        problems = entry.problems or {}
        for name, chats in entry.chats.items():
            verified = name not in entry.unverified
            self.finished[name] = CompletedAccount(entry.file, chats, verified, problems.get(name, 0))

    def _write(self, line: msgspec.Struct) -> None:
        with output_errors(self._path):  # at the end: the file is open for appending
            self._file.write(msgspec.json.encode(line) + b"\n")
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
