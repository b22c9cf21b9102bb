"""How long it takes to read a page: this SDK's decoder against what else reads the same bytes.

- `plugchat_async`: bytes to `Chat`s.
- `pydantic v2`: a model with the same fields, `validate_json`.
- `plain cattrs`: a converter with one hook a type, over msgspec's JSON.
- `msgspec struct`: with the same fields, and nothing checked but types.
- `orjson`: dicts, with the strings as they come.

Every contender is first checked to read the same chats.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import attrs
import msgspec
import orjson
from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

from benchmarks.measure import Result, Value, interleaved, ratios, seconds_of, spread
from plugchat_async import Chat
from plugchat_async._decode import decode_slices
from plugchat_async._secret import Secret
from plugchat_async.testing import PlugChatSimulator
from plugchat_async.testing.dialects import spell

Decoder = Callable[[bytes], Any]

PAGE_SIZES = (10, 100, 1000)
SECRET = Secret("unused")


class PydanticChat(BaseModel):
    """The model that an SDK made with pydantic v2 would have."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    phone: str
    name: str | None = None
    unread: int = 0
    last_message_time: datetime | None = None
    is_muted: bool = False
    is_marked_spam: bool = False
    profile_thumbnail: str | None = None
    messages_unread: int | None = None


class MsgspecChat(msgspec.Struct, rename="camel"):
    """The struct that one would write for msgspec."""

    phone: str
    name: str | None = None
    unread: int = 0
    last_message_time: datetime | None = None
    is_muted: bool = False
    is_marked_spam: bool = False
    profile_thumbnail: str | None = None
    messages_unread: int | None = None


def read(body: bytes) -> Any:
    """Read a page as a session does, but without pauses."""
    slices = decode_slices(body, SECRET, Chat)
    while True:
        try:
            next(slices)
        except StopIteration as end:
            return end.value


def plain_cattrs() -> Decoder:
    """A cattrs converter with one hook a type, over msgspec's JSON: the straightforward way."""
    converter = MsgspecJsonConverter()
    words = {"0": False, "1": True, "false": False, "true": True, False: False, True: True}
    converter.register_structure_hook(bool, lambda value, _: words[value])
    converter.register_structure_hook(datetime, lambda value, _: datetime.fromtimestamp(int(value), UTC))
    names: dict[str, Any] = {a.name: override(rename=to_camel(a.name)) for a in attrs.fields(Chat)}
    converter.register_structure_hook(Chat, make_dict_structure_fn(Chat, converter, **names))
    return converter.get_loads_hook(list[Chat])


def contenders() -> dict[str, tuple[Decoder, Callable[[Any], list[tuple[object, ...]]]]]:
    """Each decoder, with how to turn what it gives into comparable tuples (not timed)."""
    validate = TypeAdapter(list[PydanticChat]).validate_json
    fields = [a.name for a in attrs.fields(Chat)]
    rows = msgspec.json.Decoder(list[MsgspecChat], strict=False).decode

    def by_fields(chats: Any) -> list[tuple[object, ...]]:
        return [tuple(getattr(chat, name) for name in fields) for chat in chats]

    def from_dicts(chats: Any) -> list[tuple[object, ...]]:
        return by_fields(read(orjson.dumps(chats)))

    return {
        "plugchat_async": (read, by_fields),
        "pydantic v2": (validate, by_fields),
        "plain cattrs": (plain_cattrs(), by_fields),
        "msgspec struct": (rows, by_fields),
        "orjson (dicts, strings as they come)": (orjson.loads, from_dicts),
    }


def measure(rounds: int = 40) -> Result:
    """Read pages of 10, 100 and 1,000 chats."""
    everyone = contenders()
    rows: list[dict[str, Value]] = []
    for size in PAGE_SIZES:
        body = orjson.dumps([spell(chat) for chat in PlugChatSimulator(size, seed=1).chats])
        expected = everyone["plugchat_async"][1](read(body))
        for name, (decode, as_tuples) in everyone.items():
            if as_tuples(decode(body)) != expected:
                raise SystemExit(f"{name} does not read the same chats")
        repeats = max(1, 2000 // size)
        times = interleaved(
            {name: partial(seconds_of, partial(decode, body), repeats) for name, (decode, _) in everyone.items()},
            rounds,
        )
        for name, own in times.items():
            rows.append(
                {
                    "page_size": size,
                    "contender": name,
                    **spread("us", [seconds * 1e6 / size for seconds in own]),
                    **spread("pydantic", ratios(own, times["pydantic v2"])),
                    **spread("msgspec", ratios(own, times["msgspec struct"])),
                }
            )
    return Result(
        "decode",
        "Decoding a page",
        f"Medians of {rounds} rounds, in each of which all contenders read the same bytes in turn. Ratios are those of "
        "one round.",
        {
            "page_size": "chats a page",
            "contender": "contender",
            "us": "us a chat",
            "us_min": "least",
            "us_max": "most",
            "pydantic": "x pydantic",
            "pydantic_min": "least",
            "pydantic_max": "most",
            "msgspec": "x msgspec",
            "msgspec_min": "least",
            "msgspec_max": "most",
        },
        rows,
    )
