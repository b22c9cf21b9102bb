"""Made-up chats: people, groups and broadcast lists as a Brazilian WhatsApp account has them. No one's real data."""

import random
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from attrs import evolve

from plugchat_async.models import Chat

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

# The newest chat of the vendor's example; simulated time goes on from there, a second for each event.
_EPOCH = datetime.fromtimestamp(1622991687, UTC)


class People:
    """A reproducible source of chats: the same seed gives the same chats, and a clock that only it moves."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - made-up data
        self._serial = 0
        self._now = _EPOCH

    def now(self) -> datetime:
        """Give the simulated time, a second later at each call."""
        self._now += timedelta(seconds=1)
        return self._now

    def chats(self, count: int) -> list[Chat]:
        """Make a list as the service gives it: the newest last message first, with ties now and then."""
        gaps = (int(self._random.expovariate(1 / 600)) for _ in range(count))
        return [evolve(self.chat(), last_message_time=_EPOCH - timedelta(seconds=age)) for age in accumulate(gaps)]

    def chat(self) -> Chat:
        """Make one chat with a phone that no other has. Its time is left for the caller to set."""
        rnd = self._random
        self._serial += 1
        kind = rnd.random()
        # The running number keeps ids apart; its scrambling keeps them from looking like one.
        number = f"55{rnd.choice(_AREA_CODES)}9{self._serial * 7_919_573 % 100_000_000:08d}"
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
