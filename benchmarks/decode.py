"""How long it takes to read a page: this SDK's decoder against what else reads the same bytes.

    python -m benchmarks.decode [--rounds N]

All contenders run in turn in each round, so that a machine's moods meet all of them; the ratios are medians of the
rounds' own ratios. Every contender is first checked to read the same chats. Nothing is asserted about time.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec
import orjson
from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

from plugchat_async import Chat
from plugchat_async._decode import decode_chats
from plugchat_async._secret import Secret
from plugchat_async.testing import PlugChatSimulator
from plugchat_async.testing.simulator import spell

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
        return by_fields(decode_chats(orjson.dumps(chats), SECRET))

    return {
        "plugchat_async": (lambda body: decode_chats(body, SECRET), by_fields),
        "pydantic v2": (validate, by_fields),
        "plain cattrs": (plain_cattrs(), by_fields),
        "msgspec struct": (rows, by_fields),
        "orjson (dicts, strings as they come)": (orjson.loads, from_dicts),
    }


def time_once(decode: Decoder, body: bytes, repeats: int) -> float:
    """Give the seconds that one call takes, over `repeats` calls."""
    started = time.perf_counter()
    for _ in range(repeats):
        decode(body)
    return (time.perf_counter() - started) / repeats


def main() -> None:
    """Run all contenders on pages of 10, 100 and 1,000 chats, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40, help="how often all contenders run in turn (default 40)")
    rounds = parser.parse_args().rounds
    everyone = contenders()
    print(f"{'chats a page':>12}  {'contender':<38}{'µs a chat':>10}{'min':>8}{'max':>8}{'x pydantic':>12}")
    for size in PAGE_SIZES:
        body = orjson.dumps([spell(chat) for chat in PlugChatSimulator(size, seed=1).chats])
        expected = everyone["plugchat_async"][1](decode_chats(body, SECRET))
        for name, (decode, as_tuples) in everyone.items():
            if as_tuples(decode(body)) != expected:
                raise SystemExit(f"{name} does not read the same chats")
        repeats = max(1, 2000 // size)
        times: dict[str, list[float]] = {name: [] for name in everyone}
        for _ in range(rounds):
            for name, (decode, _) in everyone.items():
                times[name].append(time_once(decode, body, repeats))
        for name, own in times.items():
            ratio = statistics.median(a / b for a, b in zip(own, times["pydantic v2"], strict=True))
            per_chat = [seconds * 1e6 / size for seconds in own]
            print(
                f"{size:>12}  {name:<38}{statistics.median(per_chat):>10.2f}{min(per_chat):>8.2f}"
                f"{max(per_chat):>8.2f}{ratio:>12.2f}"
            )


if __name__ == "__main__":
    main()
