"""Which rows of a page are chats that the walk has not yielded yet.

A walk remembers chats by their keys, see `key_of`. Rows of one answer that have one key and differ are different chats;
rows that are equal are one. Across answers a known key says less: the row may be the chat that was read before, pushed
down the list or changed by a message, or another chat with the same key. What is certain:

- An answer with more rows of a key than chats of it were yielded has other chats: as many as that.
- A page that holds the whole list has all rows of each key. Which of them were yielded, shows what these looked like:
  equal rows are the same, then those of the same name and picture that are not older, then those of the same time.

Rows that are probably other chats wait until that is confirmed, see `unconfirmed`. In `strict`, where chats may be
deleted so that their number proves nothing, names tell as well: a key is in doubt while a row of it had a name that no
chat of it was yielded with.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from attrs import define, evolve, field

from plugchat_async._pagination.kept_chats import Reread, kept
from plugchat_async._pagination.same_chat import (
    LaterStates,
    has_other_names,
    label_of,
    likeness_of,
    may_be_another,
    name_label,
    note_names,
    was_yielded,
)
from plugchat_async._pagination.unconfirmed import Unconfirmed
from plugchat_async._pagination.walk_context import WalkContext
from plugchat_async._pagination.walk_state import WalkState
from plugchat_async._pagination.walk_steps import Walk, YieldPage, key_of, ordered_keys
from plugchat_async.models import Chat, Page

# Up to how many chats are kept to compare them with other rows of the same key: some 10 MB, 20 at the most.
_COMPARED = 20_000
# Up to how many rows of one key are compared; a person has a handful.
_COMPARED_ROWS = 100


@define(eq=False, repr=False)
class Remembered:
    """What a walk has read, beyond the keys in its state.

    Attributes:
        state: The state of the walk.
        context: What the walk needs besides.
        unconfirmed: Rows of known keys that are probably other chats.
        copies: The number of rows that were equal to another row of their page, where they were first read.
        guessed: Keys of which rows were yielded, though others may as well be those that were yielded before.
        _later: Rows that were taken for chats that were yielded, after a message.
        _is_long: Whether more chats were yielded than are compared.
        _reread: Reads the body of a page again. None: chats are kept instead.
        _is_strict: Whether chats may be deleted, so that their number proves nothing.
    """

    _state: WalkState
    _context: WalkContext
    unconfirmed: Unconfirmed = field(init=False)
    copies: int = field(default=0, init=False)
    guessed: set[str] = field(factory=set[str], init=False)
    _later: LaterStates = field(factory=LaterStates, init=False)
    _is_long: bool = field(default=False, init=False)
    _reread: Reread | None = field(init=False)
    _is_strict: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.unconfirmed = Unconfirmed(self._state, 2 * _COMPARED)  # windows overlap
        # Each window of `strict` has rows of the last one, so its pages would be read again.
        self._reread = self._context.reread if self._state.config.consistency == "exact" else None
        self._is_strict = self._state.config.consistency == "strict"

    def read(self, page: Page) -> tuple[Page, set[str]]:
        """Mark all rows of a page as read, and count.

        Args:
            page: The page.

        Returns:
            The page without the chats that were read before, and the known keys.
        """
        state = self._state
        keys = ordered_keys(page)
        if state.old_keys:
            keys = [
                chat.phone if chat.phone and chat.phone in state.seen else key
                for chat, key in zip(page.chats, keys, strict=False)
            ]
            keys += page.unreadable_keys
        count, known = state.seen.add(keys)
        rows = kept(page, keys, self._reread)
        compared: dict[str, dict[Chat, None]] = {}
        if count == len(keys):
            new = page.chats
            state.delivered += count
        else:
            new, compared = self._new_chats(page, keys, known)
            if known:
                self.unconfirmed.sift(page, keys, known, set(map(id, new)))
        if state.delivered > _COMPARED and not self._is_long:
            self._is_long = True
            self._later = LaterStates()
            state.yielded.clear()
            state.labels.clear()
            state.other_names.clear()
        if count == len(keys) and not self._is_long:
            state.yielded.keep_page(rows)
        else:
            self._keep(new)
        if self._is_strict:
            for key, different in compared.items():
                note_names(state, key, different)
        self.unconfirmed.note(page, keys, rows)
        return self._without_known(page, new), known

    @property
    def in_doubt(self) -> bool:
        """Whether a row may be a chat of its own that was not yielded, or is one that got another name."""
        state = self._state
        return bool(self.unconfirmed.doubtful) or any(has_other_names(state, key) for key in state.other_names)

    def begin_pass(self) -> None:
        """Begin a pass."""
        self.unconfirmed.begin_pass(is_long=self._state.delivered > _COMPARED)

    def yield_rest(self) -> Walk:
        """Yield the rows of a list that stands still that were not yielded."""
        state, doubtful = self._state, self.unconfirmed.doubtful
        chats: list[Chat] = []
        for key, rows in self.unconfirmed.groups.items():
            yielded = state.several.get(key, 1)
            if len(rows) > yielded:
                rest = self._without_yielded(key, list(rows), yielded)
                state.several[key] = yielded + len(rest)
                self._later.forget(key)
                chats += rest
            if key in doubtful and all(chat in rows for chat in state.yielded.of(key)):
                doubtful.discard(key)
        yield from self._yield_late(chats)

    def yield_confirmed(self) -> Walk:
        """Yield the unconfirmed rows that the last pass has shown again, as chats of their own."""
        self.unconfirmed.drop()
        state = self._state
        chats: list[Chat] = []
        for key, rows in self.unconfirmed.rows.items():
            state.several[key] = state.several.get(key, 1) + len(rows)
            self._later.forget(key)
            chats += rows
        yield from self._yield_late(chats)

    def _yield_late(self, chats: list[Chat]) -> Walk:
        """Yield chats that were read before they were known to be chats of their own."""
        state = self._state
        self.unconfirmed.rows.clear()
        self._keep(chats)
        state.delivered += len(chats)
        self._count(chats)
        if chats:
            yield YieldPage(Page(max(1, state.page - 1), state.size, tuple(chats), b"[]"))

    def _keep(self, chats: Sequence[Chat]) -> None:
        """Keep chats that are yielded, to compare them with other rows of their key."""
        if not self._is_long:
            self._state.yielded.keep(list(map(key_of, chats)), chats)

    def _new_chats(
        self, page: Page, keys: list[str], known: set[str]
    ) -> tuple[tuple[Chat, ...], dict[str, dict[Chat, None]]]:
        """Return the chats of a page with known keys, or several rows of one key, that are new; and what was compared.

        That is, by key, the rows that differ.
        """
        state = self._state
        new, to_compare = self._sort_rows(page, keys, known)
        groups: dict[str, dict[Chat, None]] = {}
        for key, chat in to_compare:
            rows = groups.setdefault(key, {})
            count = len(rows)
            rows.setdefault(chat)
            if len(rows) == count:
                state.scan.copies += 1  # an equal row is the same chat
                self.copies += key not in known
        unreadable = page.unreadable_keys
        state.scan.copies += len(unreadable) - len(set(unreadable))
        state.delivered += len(set(unreadable) - known) + len(new)
        for key, rows in groups.items():
            yielded = state.several.get(key, 1) if key in known else 0
            if key in self.guessed and set(state.labels.get(key, (0,))) <= set(map(label_of, rows)):
                self.guessed.discard(key)
            if len(rows) > yielded:
                chats = self._without_yielded(key, list(rows), yielded)
                state.several[key] = yielded + len(chats)
                state.delivered += len(chats)
                new.update(map(id, chats))
                self.unconfirmed.doubtful.discard(key)
                self._later.forget(key)
            elif self._has_another(key, rows, yielded):
                self.unconfirmed.doubtful.add(key)
        return tuple(chat for chat in page.chats if id(chat) in new), groups

    def _sort_rows(self, page: Page, keys: list[str], known: set[str]) -> tuple[set[int], list[tuple[str, Chat]]]:
        """Return the ids of a page's rows that are new for certain, and the rows that must be compared."""
        repeated: set[str] = set()
        if len(set(keys)) < len(keys):
            repeated = {key for key, count in Counter(keys).items() if count > 1}
        new: set[int] = set()
        to_compare: list[tuple[str, Chat]] = []
        for chat, key in zip(page.chats, keys, strict=False):
            if key in repeated:
                to_compare.append((key, chat))
            elif key not in known:
                new.add(id(chat))
            elif not self._is_as_yielded(key, chat):
                to_compare.append((key, chat))
        return new, to_compare

    def _is_as_yielded(self, key: str, chat: Chat) -> bool:
        """Return whether the only row of a known key is what was yielded, as most rows are that are read again.

        Beside it, `_has_another` is false; and it takes four times as long.
        """
        if key in self.guessed or self._later.knows(key):
            return False
        return self._is_long or chat in self._state.yielded.of(key)

    def _has_another(self, key: str, rows: Collection[Chat], yielded: int) -> bool:
        """Return whether one of the rows of a key may be another chat than those that were yielded."""
        state = self._state
        if self._is_long:
            return False
        before = state.yielded.of(key)
        if not self._later.knows(key) and all(row in before for row in rows):
            return False
        denied = self._later.deny(state, key, rows, yielded)
        return denied or any(may_be_another(row, before) and not was_yielded(state, row, key) for row in rows)

    def _without_yielded(self, key: str, rows: list[Chat], yielded: int) -> list[Chat]:
        """Return the rows of a key without those that are most like the chats that were yielded."""
        others = self.unconfirmed.rows.get(key, ())
        before = () if len(rows) > _COMPARED_ROWS else self._state.yielded.of(key)[:yielded]
        yielded -= self._take_out_labelled(key, rows)
        if len(before) < yielded:
            self.guessed.add(key)
        for chat in sorted(before, key=lambda chat: chat not in rows):
            same = [row for row in rows if not may_be_another(row, (chat,))]
            if same or not self._is_strict:
                best = max(same or rows, key=lambda row: (*likeness_of(row, chat), row not in others))
                rows.remove(best)
                self._note_doubt(key, best, chat, rows)
        rows.sort(key=lambda row: row in others)
        rows = rows[yielded - len(before) :]
        for row in rows:
            self.unconfirmed.take_out(key, row)
        return rows

    def _take_out_labelled(self, key: str, rows: list[Chat]) -> int:
        """Take out the rows that were yielded before the walk was resumed: by their label, else by their name."""
        labels = self._state.labels.get(key, [])
        count = len(rows)
        for part_of in (int, name_label):
            if not labels:
                break
            like: dict[int, list[Chat]] = {}
            for row in reversed(rows):
                like.setdefault(part_of(label_of(row)), []).append(row)
            taken, left = set[int](), list[int]()
            for label in labels:
                same = like.get(part_of(label))
                if same:
                    taken.add(id(same.pop()))
                else:
                    left.append(label)
            if taken and part_of is name_label:
                self.guessed.add(key)  # they got a message since, or are other ones of that name
            rows[:] = [row for row in rows if id(row) not in taken]
            labels = left
        return count - len(rows)

    def _note_doubt(self, key: str, best: Chat, chat: Chat, rows: list[Chat]) -> None:
        """Note that another row may as well be a chat that was yielded: both have got a message since."""
        likeness = equal, not_older, same_time, _ = likeness_of(best, chat)
        if not_older and not equal | same_time and any(likeness_of(row, chat) == likeness for row in rows):
            self.guessed.add(key)

    def _without_known(self, page: Page, new: tuple[Chat, ...]) -> Page:
        skipped = len(page.chats) - len(new)
        self._context.stats.duplicates += skipped
        self._count(new)
        return evolve(page, chats=new, skipped=skipped) if skipped else page

    def _count(self, new: "tuple[Chat, ...] | list[Chat]") -> None:
        self._context.stats.chats += len(new)
        if self._state.passes:
            self._context.stats.recovered += len(new)
