"""Decoding a page: this SDK's decoder and others that read the same bytes.

- `plugchat_async`: bytes to `Chat`s, as in a session.
- `plugchat_async, converter.copy()`: the same rules without the fast path, as for a converter with the caller's hooks.
- `pydantic v2`: a model with the same fields and the same rules for these rows, `validate_json`. Its core reads counts,
  flags, and times in milliseconds. Functions in Python are called only where needed, and never for null: for phones and
  lids ("" is None), for times ("0" and "" are None), for the end of a muting (-1 is "for ever").
- `tuned cattrs`: `Chat`s from orjson's dicts, without detailed errors, and with a hook for each field.
- `plain cattrs`: a converter with one hook per type, over msgspec's JSON.
- `by hand, cattrs`: the same over orjson's dicts, into a class of the user's own, see `benchmarks.by_hand`.
- `msgspec struct`: only types are checked. Times stay numbers, and a phone can be "".
- `orjson`: dicts, with unchanged texts.

Before the measurement, each contender is checked to read the same chats.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import attrs
import msgspec
import orjson
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.msgspec import MsgspecJsonConverter
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, TypeAdapter

from benchmarks.by_hand import FLAGS, own_chats, time_of
from benchmarks.measure import Result, Value, cpu_seconds_of, interleaved, ratios, spread
from benchmarks.rows import body_of
from plugchat_async import FOREVER, Chat
from plugchat_async._http.decode_values import wire_name
from plugchat_async.converter import converter

Decoder = Callable[[bytes], Any]

PAGE_SIZES = (10, 100, 1000)
STRUCT = "msgspec struct (times as numbers)"
FIELDS = tuple(a.name for a in attrs.fields(Chat))

# A validator inside an optional type is not called for null. With AfterValidator, pydantic's core reads the text; for
# times it would have to compare with 1970, and could not read "".
PydanticId = Annotated[str, AfterValidator(lambda text: text or None)] | None
PydanticTime = (
    Annotated[datetime | None, BeforeValidator(lambda value: value if value and value != "0" else None)] | None
)
PydanticMuteEnd = Annotated[PydanticTime, BeforeValidator(lambda value: FOREVER if value in (-1, "-1") else value)]


class PydanticChat(BaseModel):
    """The model of an SDK with pydantic v2."""

    model_config = ConfigDict(alias_generator=wire_name, frozen=True)

    phone: PydanticId = None
    name: str | None = None
    unread: int = 0
    last_message_time: PydanticTime = None
    is_muted: bool = False
    is_marked_spam: bool = False
    profile_thumbnail: str | None = None
    messages_unread: int | None = None
    lid: PydanticId = None
    is_pinned: bool | None = None
    is_archived: bool | None = None
    is_group: bool | None = None
    is_group_announcement: bool | None = None
    muted_until: PydanticMuteEnd | None = None


class MsgspecChat(msgspec.Struct, rename=wire_name):
    """The struct of an SDK with msgspec, which can't read times in milliseconds."""

    phone: str | None = None
    name: str | None = None
    unread: int = 0
    last_message_time: int | None = None
    is_muted: bool = False
    is_marked_spam: bool = False
    profile_thumbnail: str | None = None
    messages_unread: int | None = None
    lid: str | None = None
    is_pinned: bool | None = None
    is_archived: bool | None = None
    is_group: bool | None = None
    is_group_announcement: bool | None = None
    muted_until: int | None = None


def read(body: bytes) -> tuple[Chat, ...]:
    """Read a page as in a session, without pauses."""
    return converter.loads(body, problems=[])


def plain_cattrs() -> Decoder:
    """Return the simplest cattrs converter: one hook per type, over msgspec's JSON."""
    plain = MsgspecJsonConverter()
    plain.register_structure_hook(str, lambda value, _: value or None)
    plain.register_structure_hook(bool, lambda value, _: FLAGS[value])
    plain.register_structure_hook(datetime, lambda value, _: time_of(value))
    names: dict[str, Any] = {a.name: override(rename=wire_name(a.name)) for a in attrs.fields(Chat)}
    plain.register_structure_hook(Chat, make_dict_structure_fn(Chat, plain, **names))
    return plain.get_loads_hook(list[Chat])


def tuned_cattrs() -> Decoder:
    """Return the fastest cattrs converter: no detailed errors, and a hook per field instead of per type."""
    hooks: dict[Any, Callable[[Any, Any], Any]] = {
        str | None: lambda value, _: value or None,
        int: lambda value, _: int(value),
        int | None: lambda value, _: None if value is None else int(value),
        bool: lambda value, _: FLAGS[value],
        bool | None: lambda value, _: None if value is None else FLAGS[value],
        datetime | None: lambda value, _: time_of(value),
    }
    names: dict[str, Any] = {
        a.name: override(rename=wire_name(a.name), struct_hook=hooks[a.type]) for a in attrs.fields(Chat)
    }
    structure = make_dict_structure_fn(Chat, Converter(), _cattrs_detailed_validation=False, **names)
    return lambda body: [structure(row, Chat) for row in orjson.loads(body)]


def as_chat(row: Any) -> Chat:
    """Convert a contender's row to a `Chat`, for comparison."""
    if isinstance(row, dict):
        return converter.structure(row, Chat)
    values: dict[str, Any] = {name: getattr(row, name) for name in FIELDS}
    if isinstance(row, MsgspecChat):
        values["phone"] = row.phone or None
    for name in ("last_message_time", "muted_until"):
        time = values[name]
        # Each library has its own UTC object.
        values[name] = time.astimezone(UTC) if isinstance(time, datetime) else time_of(time)
    return Chat(**values)


def contenders() -> dict[str, Decoder]:
    """Return the decoders by name."""
    return {
        "plugchat_async": read,
        "pydantic v2": TypeAdapter(list[PydanticChat]).validate_json,
        STRUCT: msgspec.json.Decoder(list[MsgspecChat], strict=False).decode,
        "orjson (dicts, texts as they come)": orjson.loads,
        "plugchat_async, converter.copy()": converter.copy().loads,
        "tuned cattrs": tuned_cattrs(),
        "plain cattrs": plain_cattrs(),
        "by hand, cattrs": own_chats,
    }


def measure(rounds: int = 40) -> Result:
    """Measure pages of 10, 100 and 1,000 chats."""
    everyone = contenders()
    rows: list[dict[str, Value]] = []
    for size in PAGE_SIZES:
        body = body_of(0, size)
        expected = list(read(body))
        for name, decode in everyone.items():
            if [as_chat(row) for row in decode(body)] != expected:
                raise SystemExit(f"{name} does not read the same chats")
        repeats = max(1, 2000 // size)
        times = interleaved(
            {name: partial(cpu_seconds_of, partial(decode, body), repeats) for name, decode in everyone.items()},
            rounds,
        )
        for name, own in times.items():
            rows.append(
                {
                    "page_size": size,
                    "contender": name,
                    **spread("us", [seconds * 1e6 / size for seconds in own]),
                    **spread("pydantic", ratios(own, times["pydantic v2"])),
                    **spread("msgspec", ratios(own, times[STRUCT])),
                }
            )
    return Result(
        "decode",
        "Decoding a page",
        f"Medians of {rounds} rounds, in each of which all contenders read the same bytes in turn. Ratios are those of "
        "one round. Time is that of the CPU. The goal is at most 0.60 of pydantic's time, and 0.75 at 10 chats a page.",
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
