"""The lines of an export's manifest: a header, and an entry for each finished file. Pure."""

import re
from typing import Final, Literal

import msgspec
from attrs import frozen

from plugchat_async.calls import CHATS
from plugchat_async.export.csv_and_json import CsvDialect, json_line

VERSION: Final = 1

# The names of files that a restart may delete.
_DELETABLE: Final = re.compile(r"(?![._]|failures\.jsonl$)[^/\\\x00]+")

Layout = Literal["accounts", "parts"]


class ManifestHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The first line: the kind of the export.

    Attributes:
        plugchat_export: The version of the format.
        format: The format of the files.
        layout: "accounts" for a file for each account, "parts" for files with several accounts.
        limit: The largest number of chats for each account, or None.
        id: The prefix of the names of the export's parts, to distinguish them from those of other exports.
        merge_people: Whether there is one chat for each person. Written only if True: older versions don't know it.
        dialect: That of CSV. Written only if it is not "rfc4180": older versions don't know it.
        call: The path of what is listed. Written only if it is not that of chats, for the same reason.
    """

    plugchat_export: int
    format: str
    layout: Layout
    limit: int | None
    id: str
    merge_people: bool = False
    dialect: CsvDialect = "rfc4180"
    call: str = CHATS.path


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


class ManifestEntry(msgspec.Struct, frozen=True):
    """A line for a finished file.

    Older versions ignore all fields after `unverified`, and don't write them. An entry with `kept` has no `chats`, so
    that they fetch its accounts again, too.

    Attributes:
        file: The name of the file.
        chats: The number of chats by the names of the accounts.
        unverified: The names of the accounts that are not verified.
        problems: The number of values that could not be read, by the names of the accounts that have any.
        kept: The names of the accounts whose chats in the file are those of an earlier run. They are fetched again.
        size: The size of the file in bytes. After a loss of power it may be another.
        run: The id of the run that has written the file.
        run_started: When that run has started, as RFC 3339.
    """

    file: str
    chats: dict[str, int]
    unverified: list[str] = []
    problems: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    kept: list[str] | msgspec.UnsetType = msgspec.UNSET
    size: int | msgspec.UnsetType = msgspec.UNSET
    run: str | msgspec.UnsetType = msgspec.UNSET
    run_started: str | msgspec.UnsetType = msgspec.UNSET


def encode(*lines: msgspec.Struct) -> bytes:
    """Return lines of a manifest."""
    return "".join(json_line(line) + "\n" for line in lines).encode()


def parse(lines: list[bytes]) -> tuple[ManifestHeader | None, list[ManifestEntry], int]:
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


def describe(header: ManifestHeader) -> str:
    """Return in words what kind of export a manifest is of."""
    what = "chats" if header.call == CHATS.path else f"items of {header.call}"
    limit = f"all {what}" if header.limit is None else f"at most {header.limit} {what}"
    merged = " (one chat for each person)" if header.merge_people else ""
    dialect = "" if header.dialect == "rfc4180" else f" for {header.dialect}"
    layout = "a file for each account" if header.layout == "accounts" else "parts with several accounts"
    return f"{limit} of each account{merged} as {header.format}{dialect}, in {layout}"
