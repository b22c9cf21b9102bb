"""Made-up chats: persons, groups and broadcast lists like those of a Brazilian WhatsApp account, without real data.

`ChatFactory` makes chats as in the vendor's page of 2021: each has a phone and a time. `GatewayChatFactory` makes chats
as today's gateway lists them, in the proportions of a live account of 732 rows: a person has 2.2 rows on average and up
to five, at most one of which has the phone, and 59 % of the rows have no time.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, chain, islice
from typing import Final

from attrs import evolve

from plugchat_async.calls import Contact, PendingChat
from plugchat_async.models import FOREVER, Chat

_FIRST_NAMES = """
    Ana Antônio Beatriz Bruno Camila Carlos Cecília Davi Débora Eduardo Fernanda Francisco Gabriela Helena Heitor Igor
    Isabela João Júlia Larissa Lucas Luiza Marcos Mariana Miguel Natália Otávio Patrícia Pedro Rafael Renata Sofia
    Thiago Valentina Vitória
"""
_LAST_NAMES = """
    Almeida Alves Araújo Barbosa Cardoso Carvalho Castro Costa Dias Ferreira Gomes Gonçalves Lima Lopes Martins Melo
    Moraes Nascimento Oliveira Pereira Ribeiro Rocha Rodrigues Santos Silva Souza Teixeira Vieira
"""
_FIRST, _LAST = _FIRST_NAMES.split(), _LAST_NAMES.split()
_GROUPS = (
    "Família", "Futebol de quinta", "Condomínio", "Turma de 2009", "Churrasco", "Vendas", "Suporte", "Mães do 3º ano",
)  # fmt: skip
_EMOJI = ("😀", "🎉", "⚽", "❤️", "🇧🇷", "👩\u200d👩\u200d👧", "🔥", "🙏🏽")
_AREA_CODES = (11, 21, 31, 41, 47, 51, 61, 71, 81, 85, 91)

# The time of the newest chat in the vendor's example. Simulated time starts here, and advances a second per event.
_EPOCH = datetime.fromtimestamp(1622991687, UTC)
# The same for the gateway's rows of today.
_EPOCH_TODAY = datetime.fromtimestamp(1768497607, UTC)

# The numbers of rows of a person, with their weights: 2.2 on average.
_ROWS: Final = (1, 2, 3, 4, 5)
_ROWS_WEIGHTS: Final = (33, 35, 20, 8, 4)
# The share of persons with a phone in one row. With it, 53 % of all rows have no phone.
_WITH_PHONE: Final = 0.98
# The share of rows with a time, among those with a phone and those without: 41 % of all.
_TIMED: Final = 0.68
_TIMED_WITHOUT_PHONE: Final = 0.17
# Multipliers that scramble serial numbers. Each is coprime to the number of ids, so that ids stay unique.
_PHONE_STEP: Final = 7_919_573
_LID_STEP: Final = 618_033_988_749_889
_GROUP_STEP: Final = 31_415_926_537


def row_key(chat: Chat | Contact | PendingChat) -> str:
    """Return the key of a made-up row, which no other row of its account has, also none of the same person."""
    return chat.phone or f"{chat.lid}\n{chat.name or ''}"


class ChatFactory:
    """Makes chats with a simulated clock. The same seed makes the same chats."""

    def __init__(self, seed: int, epoch: datetime = _EPOCH) -> None:
        self._random = random.Random(seed)  # noqa: S311 - made-up data
        self._serial: int = 0
        self._now = epoch

    def now(self) -> datetime:
        """Return the simulated time, a second later at each call."""
        self._now += timedelta(seconds=1)
        return self._now

    def chats(self, count: int) -> list[Chat]:
        """Return a list sorted by time, newest first, with equal times now and then."""
        gaps = (int(self._random.expovariate(1 / 600)) for _ in range(count))
        return [evolve(self.chat(), last_message_time=_EPOCH - timedelta(seconds=age)) for age in accumulate(gaps)]

    def chat(self) -> Chat:
        """Return a chat with a unique phone and no time."""
        rnd = self._random
        self._serial += 1
        kind = rnd.random()
        # The serial number makes phones unique; scrambled, they do not look consecutive.
        number = f"55{rnd.choice(_AREA_CODES)}9{self._serial * _PHONE_STEP % 10**8:08d}"
        if kind < 0.12:
            name, phone = rnd.choice(_GROUPS), f"{number}-{int(_EPOCH.timestamp()) - self._serial}"
        elif kind < 0.15:
            name, phone = f"Lista {rnd.choice(_GROUPS)}", f"{number}@broadcast"
        elif kind < 0.25:
            name, phone = None, number  # not in the address book
        else:
            name, phone = f"{rnd.choice(_FIRST)} {rnd.choice(_LAST)}", number
        if name is not None and rnd.random() < 0.2:
            name = f"{name} {rnd.choice(_EMOJI)}"
        return Chat(
            phone=phone,
            name=name,
            unread=rnd.choice((0, 0, 0, 0, 0, 1, 2, 5, 37)),
            is_muted=rnd.random() < 0.15,
            is_marked_spam=rnd.random() < 0.02,
            profile_thumbnail=self._picture() if rnd.random() < 0.6 else None,
            messages_unread=0,
        )

    def _picture(self) -> str:
        rnd = self._random
        return (
            f"https://pps.whatsapp.net/v/t61.24694-24/{rnd.randrange(10**9)}_{rnd.randrange(10**15)}_n.jpg"
            f"?ccb=11-4&oh={rnd.getrandbits(128):032x}&oe={rnd.getrandbits(32):08X}"
        )


class GatewayChatFactory(ChatFactory):
    """Makes chats as today's gateway lists them. No two rows have the same phone, or the same lid and name."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, _EPOCH_TODAY)

    def chats(self, count: int) -> list[Chat]:
        """Return a list sorted by time, newest first, with the rows without a time at the end."""
        rnd = self._random
        rows = list(islice(chain.from_iterable(self._rows_of_all()), count))
        rnd.shuffle(rows)
        timed = [row for row in rows if rnd.random() < (_TIMED if row.phone else _TIMED_WITHOUT_PHONE)]
        timed_ids = set(map(id, timed))
        gaps = (int(rnd.expovariate(1 / 600)) for _ in timed)
        times = sorted((self._time(age) for age in accumulate(gaps)), reverse=True)
        return [
            *(evolve(row, last_message_time=time) for row, time in zip(timed, times, strict=True)),
            *(row for row in rows if id(row) not in timed_ids),
        ]

    def chat(self) -> Chat:
        """Return the only row of a new person, without a time."""
        return self._rows_of_person(1)[0]

    def _rows_of_all(self) -> Iterator[Sequence[Chat]]:
        rnd = self._random
        while True:
            kind = rnd.random()
            if kind < 0.94:
                yield self._rows_of_person(rnd.choices(_ROWS, _ROWS_WEIGHTS)[0])
            else:
                yield (self._group() if kind < 0.98 else self._list(),)

    def _rows_of_person(self, count: int) -> list[Chat]:
        rnd = self._random
        number = self._number()
        # A Brazilian mobile has thirteen digits, or twelve without the ninth digit of the number.
        phone = number if rnd.random() < 0.91 else f"{number[:4]}{number[5:]}"
        lid = f"{10**14 + self._serial * _LID_STEP % (9 * 10**14)}@lid"
        first, last = rnd.choice(_FIRST), rnd.choice(_LAST)
        names = [f"{first} {last}", first, None, f"{first} {last[0]}.", f"{first} {rnd.choice(_EMOJI)}"]
        rnd.shuffle(names)
        # The row with the phone has the name of another row, or a name that no other row has.
        with_phone = rnd.random() < _WITH_PHONE
        rows = [self._row(lid=lid, name=name) for name in names[: count - with_phone]]
        if with_phone:
            rows.append(self._row(lid=lid, name=rnd.choice(names), phone=phone))
        return rows

    def _group(self) -> Chat:
        rnd = self._random
        number = self._number()
        old = rnd.random() < 0.2
        group = f"{number}-{1598000000 + self._serial}" if old else f"{self._group_number()}-group"
        return self._row(
            phone=group, name=rnd.choice(_GROUPS), is_group=True, is_group_announcement=rnd.random() < 0.15
        )

    def _list(self) -> Chat:
        """Return a broadcast list or a channel."""
        number = self._number()
        if self._random.random() < 0.5:
            return self._row(phone=f"{number}@broadcast", name=f"Lista {self._random.choice(_GROUPS)}")
        return self._row(phone=f"{self._group_number()}@newsletter", name=self._random.choice(_GROUPS))

    def _row(
        self,
        *,
        name: str | None,
        phone: str | None = None,
        lid: str | None = None,
        is_group: bool = False,
        is_group_announcement: bool = False,
    ) -> Chat:
        rnd = self._random
        unread = rnd.choice((0, 0, 0, 0, 0, 1, 2, 5, 37))
        is_archived = rnd.random() < 0.08
        if phone is None and rnd.random() < 0.06:  # some of the gateway's rows have few keys
            return Chat(lid=lid, name=name, unread=unread, is_archived=is_archived, is_group=is_group)
        is_muted = rnd.random() < 0.15
        return Chat(
            phone=phone,
            name=name,
            unread=unread,
            is_muted=is_muted,
            is_marked_spam=rnd.random() < 0.02,
            profile_thumbnail=self._picture() if rnd.random() < 0.015 else None,
            messages_unread=0,
            lid=lid,
            is_pinned=False,
            is_archived=is_archived,
            is_group=is_group,
            is_group_announcement=is_group_announcement,
            muted_until=self._end_of_muting() if is_muted else None,
        )

    def _end_of_muting(self) -> datetime | None:
        return self._random.choice((FOREVER, FOREVER, _EPOCH_TODAY + timedelta(hours=8), None))

    def _time(self, age: int) -> datetime:
        # All times except a few are whole seconds.
        rest = self._random.randrange(1000) if self._random.random() < 0.02 else 0
        return _EPOCH_TODAY - timedelta(seconds=age, milliseconds=rest)

    def _number(self) -> str:
        self._serial += 1
        return f"55{self._random.choice(_AREA_CODES)}9{self._serial * _PHONE_STEP % 10**8:08d}"

    def _group_number(self) -> str:
        return f"120363{self._serial * _GROUP_STEP % 10**12:012d}"
