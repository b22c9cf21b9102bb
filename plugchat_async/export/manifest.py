"""The manifest of an export: a file below `.plugchat/` that lists the finished files, one JSON object per line."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Final

import msgspec

from plugchat_async._internal.files import (
    OPEN_FILES_CAN_BE_REPLACED,
    AtomicFile,
    flush_folder,
    flush_to_disk,
    output_errors,
)
from plugchat_async._internal.links import resolve
from plugchat_async._internal.locks import open_locked
from plugchat_async.calls import CHATS
from plugchat_async.errors import InvalidValueError
from plugchat_async.export.csv_and_json import CsvDialect
from plugchat_async.export.folder import BOOKKEEPING, MANIFEST, OLDER_FAILURES, OLDER_MANIFEST, make_bookkeeping
from plugchat_async.export.manifest_lines import (
    VERSION,
    CompletedAccount,
    Layout,
    ManifestEntry,
    ManifestHeader,
    describe,
    encode,
    parse,
)

_OTHER_EXPORT_HINT: Final = (
    "Use another folder, or start over with --restart (restart=True in Python), which replaces the accounts' earlier "
    "files."
)


class Manifest:
    """The finished files of the export into a folder.

    A killed process can leave at most an incomplete last line, which is ignored; so are lines of files that don't exist
    any more, or are empty but were not. If a file has another size than its line says, its accounts are fetched again,
    and it is kept until then. While a manifest is open, no other run can open it, if the system supports locks. That of
    an older version, which was in the folder itself, is moved.

    Args:
        folder: The folder of the export.
        file_format: The format of the files.
        layout: "accounts" or "parts".
        limit: The largest number of chats for each account (default None: no limit).
        dialect: That of CSV (default "rfc4180").
        merge_people: Whether there is one chat for each person (default False).
        call: What is listed: the path (default: that of chats), with the class if that is one of the user's.
        restart: Whether to fetch all accounts again. The earlier files are kept until all of their accounts have new
            ones.
        sync: Whether each line is on disk when it is written (default True).

    Attributes:
        existed: Whether there was a manifest before.
        id: The id of the export.
        finished: The finished accounts by their names.
        kept: The names of files of earlier runs by the names of their accounts, which must be fetched again.

    Raises:
        InvalidValueError: The folder holds another kind of export, another run is writing the file, or it is not a
            manifest.
        OutputError: The file can't be written.
    """

    def __init__(
        self,
        folder: Path,
        file_format: str,
        layout: Layout,
        *,
        limit: int | None = None,
        dialect: CsvDialect = "rfc4180",
        merge_people: bool = False,
        call: str = CHATS.path,
        restart: bool,
        sync: bool = True,
    ) -> None:
        self._folder = folder
        self._path = folder / MANIFEST
        self._sync = sync
        self.finished: dict[str, CompletedAccount] = {}
        self.kept: dict[str, str] = {}
        self._uses: Counter[str] = Counter()  # how many accounts of `finished` and `kept` a file has
        self._latest: dict[str, ManifestEntry] = {}  # the last line of each file
        make_bookkeeping(folder, sync=sync)
        self._file = self._open_file(self._path)
        try:
            older = self._take_over_older(restart=restart)
            header = ManifestHeader(
                VERSION, file_format, layout, limit, token_hex(4), merge_people, dialect=dialect, call=call
            )
            self._open(header, older or (), restart=restart)
            if older is not None:
                self._remove_older()
        except BaseException:
            self._file.close()
            raise

    def _open_file(self, path: Path) -> BinaryIO:
        with output_errors(path):
            file = open_locked(resolve(path))
        if file is None:
            raise InvalidValueError(
                f"another run is exporting to {self._folder}", "Wait until it has ended, or use another folder."
            )
        return file

    def _take_over_older(self, *, restart: bool) -> list[ManifestEntry] | None:
        """Copy the manifest of an older version.

        It is copied before it is removed, so that at no time there is none, also if the power fails. If both are there,
        the older one is of no use any more, unless an older version has written parts since: their accounts may be in
        parts of this manifest, too.

        Returns:
            The lines of such parts, which a restart replaces; None if there is no such manifest.

        Raises:
            InvalidValueError: There are such parts, or the file is not a manifest.
        """
        path = self._folder / OLDER_MANIFEST
        if not path.is_file():
            return None
        with self._open_file(path) as older:  # no run of an older version writes to it
            with output_errors(path):
                complete = _complete_lines(older)
            found, entries, _ = parse(complete.splitlines())
            if complete and found is None:  # another file of the user's
                if restart or _complete_lines(self._file):
                    return None
                raise InvalidValueError(f"line 1 of {path} is not part of an export manifest", _OTHER_EXPORT_HINT)
            with output_errors(self._path):
                known = _complete_lines(self._file)
            if complete and not known:
                self._replace(complete, sync=True)
            others = self._parts_of_another(found, entries, known)
            if others and not restart:
                problem = f"an older version has exported to {self._folder} since: it has written {others[0].file}"
                raise InvalidValueError(problem, _OTHER_EXPORT_HINT)
        return others

    def _remove_older(self) -> None:
        """Remove the manifest and the log of failures of an older version."""
        path = self._folder / OLDER_MANIFEST
        with output_errors(path):
            (self._folder / OLDER_FAILURES).unlink(missing_ok=True)
            # `.plugchat` is there, and the log is not, before the sign goes that there is more to do.
            flush_folder(self._folder)
            path.unlink(missing_ok=True)

    def _parts_of_another(
        self, older: ManifestHeader | None, entries: Sequence[ManifestEntry], known: bytes
    ) -> list[ManifestEntry]:
        """Return the lines of an older version's parts that are there, and not in this manifest, if it has lines."""
        if not known or older is None or older.layout != "parts":
            return []
        listed = {entry.file for entry in parse(known.splitlines())[1]}
        return [entry for entry in entries if entry.file not in listed and (self._folder / entry.file).is_file()]

    def _open(self, header: ManifestHeader, others: Sequence[ManifestEntry], *, restart: bool) -> None:
        """Read the lines of earlier runs, those of `others` first, and write the header if there is none."""
        with output_errors(self._path):
            complete = _complete_lines(self._file)
        found, entries, bad_line = parse(complete.splitlines())
        entries = [*others, *entries]
        self.existed = found is not None
        self.id = header.id if found is None else found.id
        problem = f"line {bad_line} of {self._path} is not part of an export manifest" if bad_line else ""
        if found is not None and msgspec.structs.replace(found, id=header.id) != header:
            problem = f"{self._folder} already holds {describe(found)}; this run would write {describe(header)}"
        if problem and not restart:
            raise InvalidValueError(problem, _OTHER_EXPORT_HINT)
        with output_errors(self._path):
            self._load(entries)
        self.remove_unlisted_parts()
        if restart:
            self.kept, self.finished, self.id = self.files(), {}, header.id
            self._replace(self._kept_lines(header), sync=self._sync)
            with output_errors(self._folder):
                for file in {entry.file for entry in entries}.difference(self.kept.values()):
                    (self._folder / file).unlink(missing_ok=True)
            return
        with output_errors(self._path):
            self._file.truncate(len(complete))
        if not complete:
            self.id = header.id
            self._write(header)
            with output_errors(self._folder):
                if self._sync:
                    flush_folder(self._path.parent)

    def _load(self, entries: Sequence[ManifestEntry]) -> None:
        """Remember the lines of earlier runs, as far as their files are there."""
        self._latest = {entry.file: entry for entry in entries}
        sizes: dict[str, int | None] = {}
        for name in self._latest:
            path = self._folder / name
            sizes[name] = path.stat().st_size if path.is_file() else None
        for entry in entries:
            size, latest = sizes[entry.file], self._latest[entry.file]
            noted = latest.size
            if size is None or (size == 0 and (noted or any(latest.chats.values()))):  # older versions note no size
                continue
            if noted in (size, msgspec.UNSET):
                self._remember(entry)
            else:  # it may be cut off, or edited: worse than a new one, and better than none
                self._keep(entry.file, [name for name in (*entry.chats, *(entry.kept or ())) if name not in self.kept])

    def _kept_lines(self, header: ManifestHeader) -> bytes:
        """Return a new manifest in which nothing is finished."""
        accounts: defaultdict[str, list[str]] = defaultdict(list)
        for name, file in self.kept.items():
            accounts[file].append(name)
        return encode(header, *(self._kept_entry(*item) for item in accounts.items()))

    def _replace(self, content: bytes, *, sync: bool) -> None:
        """Start a new manifest in the place of this one. At no time is there none, or half of one."""
        whole = AtomicFile(self._path, sync=sync)
        try:
            with output_errors(self._path):
                whole.file.write(content)
            if not OPEN_FILES_CAN_BE_REPLACED:
                self._file.close()
            whole.commit()
        finally:
            whole.discard()
        before = self._file  # its lock keeps other runs out until the new one is locked
        try:
            self._file = self._open_file(self._path)
        finally:
            before.close()

    def _kept_entry(self, file: str, names: list[str]) -> ManifestEntry:
        entry = self._latest.get(file, ManifestEntry(file, {}))
        return msgspec.structs.replace(entry, chats={}, unverified=[], problems=msgspec.UNSET, kept=names)

    def files(self) -> dict[str, str]:
        """Return the names of the files that are listed, by the names of their accounts."""
        return {name: account.file for name, account in self.finished.items()} | self.kept

    def remove_unlisted_parts(self) -> None:
        """Delete the leases of all runs, which stops their workers, and the parts that are not in the manifest."""
        listed = set(self.files().values())
        prefixes = (f"part-{self.id}-", f".part-{self.id}-", f".run-{self.id}")
        with output_errors(self._folder):
            # Those of an older version are in the folder itself.
            for path in (*self._folder.iterdir(), *(self._folder / BOOKKEEPING).iterdir()):
                if path.name.startswith(prefixes) and path.name not in listed:
                    path.unlink(missing_ok=True)

    def add(self, entry: ManifestEntry) -> None:
        """Write a finished file to the manifest at once. The file must be on disk.

        Raises:
            OutputError: The manifest can't be written.
        """
        self.add_all([entry])

    def add_all(self, entries: Sequence[ManifestEntry]) -> None:
        """Write finished files to the manifest, as `add` does, but all at once."""
        if not entries:
            return
        self._write(*entries)
        with output_errors(self._path):
            for entry in entries:
                self._latest[entry.file] = entry
                self._remember(entry)

    def keep(self, name: str, file: str) -> None:
        """Write to the manifest that an account keeps the file of an earlier run, unless that is its last line.

        Raises:
            OutputError: The manifest can't be written.
        """
        if self.kept.get(name) != file:
            self.add(self._kept_entry(file, [name]))

    def remove(self, names: Collection[str]) -> int:
        """Forget the files of some accounts, and delete those that no other account needs. Return their number."""
        files = self.files()
        for name in names:
            self._forget(name)
        unused = [file for file in {files[name] for name in names} if not self._uses[file]]
        with output_errors(self._folder):
            for file in unused:
                self._delete(file)
        return len(unused)

    def close(self) -> None:
        """Close the manifest."""
        with output_errors(self._path):
            self._file.close()

    def _remember(self, entry: ManifestEntry) -> None:
        problems = entry.problems or {}
        for name, chats in entry.chats.items():
            before = self._forget(name)
            verified = name not in entry.unverified
            self.finished[name] = CompletedAccount(entry.file, chats, verified, problems.get(name, 0))
            self._uses[entry.file] += 1
            if before != entry.file:  # in another format, or with other accounts
                self._delete(before)
        self._keep(entry.file, entry.kept or ())

    def _keep(self, file: str, names: Iterable[str]) -> None:
        for name in names:
            self._forget(name)
            self.kept[name] = file
            self._uses[file] += 1

    def _forget(self, name: str) -> str | None:
        """Forget the file of an account. Return its name if it was kept for this account, and for no other."""
        finished, kept = self.finished.pop(name, None), self.kept.pop(name, None)
        if finished is not None:
            self._uses[finished.file] -= 1
        if kept is not None:
            self._uses[kept] -= 1
        return None if kept is None or self._uses[kept] else kept

    def _delete(self, file: str | None) -> None:
        if file is not None:
            (self._folder / file).unlink(missing_ok=True)

    def _write(self, *lines: msgspec.Struct) -> None:
        with output_errors(self._path):  # at the end: the file is open for appending
            self._file.write(encode(*lines))
            self._file.flush()
            if self._sync:
                flush_to_disk(self._file)


def _complete_lines(file: BinaryIO) -> bytes:
    """Return what is in a file up to its last line end, or up to zeros, which a loss of power may leave."""
    file.seek(0)
    text = file.read().partition(b"\0")[0]
    return text[: text.rfind(b"\n") + 1]
