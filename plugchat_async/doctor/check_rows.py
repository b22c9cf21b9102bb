"""Check how the rows of a page are spelled, by shapes and counts without values. Pure: a result -> a finding."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from plugchat_async._http.decode_values import (
    MIN_MICROSECONDS,
    MIN_MILLISECONDS,
    MalformedValueError,
    structure_time,
    wire_name,
)
from plugchat_async._http.secret import Secret
from plugchat_async._internal.lenient_json import parse_rows, split_array, value_of
from plugchat_async.doctor.findings import Finding, Value, counted, ok, skipped, warning
from plugchat_async.doctor.prober import TOO_FEW, ProbeResult
from plugchat_async.doctor.value_shapes import listed, plain_names, shape_of, type_of
from plugchat_async.models import Chat

# The most kinds of ids, and of values that can't be read, in a fact.
_MAX_KINDS: Final = 40
# The keys that `Chat` has fields for.
_KNOWN: Final = tuple(wire_name(a.name) for a in attrs.fields(Chat))
_TIME: Final = wire_name("last_message_time")
_SEND_ADVICE: Final = "Send this project the output of `plugchat doctor --json`: it contains no values."


def is_lid(text: str | None) -> bool:
    """Return whether an id is a lid."""
    return text is not None and text.endswith("@lid")


def check_times(result: ProbeResult) -> Finding:
    """Check the unit and the type of the times."""
    if not result.length:
        return skipped("times", TOO_FEW)
    rows = parse_rows(result.body)
    units: Counter[str] = Counter()
    types: Counter[str] = Counter()
    for row in rows:
        value = row.get(_TIME)
        name = _unit_of(value)
        units[name] += 1
        if name in _UNITS:
            types[type_of(value)] += 1
    missing, unreadable = units["none"], units["unreadable"]
    known = {name: units[name] for name in _UNITS if units[name]}
    unit, kind = _one_of(known), _one_of(types)
    found = f"{missing} of {len(rows)} rows {'has' if missing == 1 else 'have'} no time"
    if unit == "mixed":
        found = f"they are mixed: {', '.join(f'{count} in {name}' for name, count in known.items())}; {found}"
    elif unit is not None:
        found = f"they are in {unit}, {'as numbers and texts' if kind == 'mixed' else f'as {kind}s'}; {found}"
    return ok(
        "times",
        found,
        unit=unit,
        type=kind,
        seen=_counts(known),
        missing=missing,
        unreadable=unreadable,
    )


_UNITS: Final = ("seconds", "milliseconds", "microseconds", "RFC 3339")


def _unit_of(value: Any) -> str:
    """Return the unit of a time; "none" if there is no message yet, "unreadable" if it is not a time."""
    if value is None or value == "" or (isinstance(value, str) and value.lower() == "null"):
        return "none"
    try:
        if structure_time(value) is None:
            return "none"
        number = float(value)
    except MalformedValueError:
        return "unreadable"
    except ValueError:
        return "RFC 3339"
    if number < MIN_MILLISECONDS:
        return "seconds"
    return "milliseconds" if number < MIN_MICROSECONDS else "microseconds"


def _one_of(counts: Mapping[str, int]) -> str | None:
    """Return the only key; "mixed" if there are several, None if there are none."""
    return "mixed" if len(counts) > 1 else next(iter(counts), None)


def _counts(counts: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"{name}: {count}" for name, count in counts.items())


def check_ids(result: ProbeResult) -> Finding:
    """Count the rows without a phone, a lid, or both, and the forms of the phones."""
    if not result.length:
        return skipped("ids", TOO_FEW)
    chats = result.chats
    no_phone = sum(chat.phone is None for chat in chats) + result.unreadable
    no_lid = sum(chat.lid is None for chat in chats) + result.unreadable
    forms = Counter(_form_of(chat) for chat in chats if chat.phone is not None)
    return ok(
        "ids",
        f"of {counted(result.length, 'row')} {no_phone} {'has' if no_phone == 1 else 'have'} no phone, "
        f"{no_lid} no lid, {result.unreadable} neither",
        "A chat without a phone is identified by its lid: use chat.id." if no_phone > result.unreadable else "",
        rows=result.length,
        no_phone=no_phone,
        no_lid=no_lid,
        no_id=result.unreadable,
        phones=_counts(dict(forms.most_common(_MAX_KINDS))),
        kinds=_counts(dict(Counter(chat.kind for chat in chats).most_common())),
    )


def _form_of(chat: Chat) -> str:
    """Return the form of a chat's phone: its suffix, or the number of its digits."""
    phone = chat.phone or ""
    if phone.isascii() and phone.isdigit():
        return f"{len(phone)} digits"
    for end in ("-group", "@g.us", "@broadcast", "@newsletter", "@lid"):
        if phone.endswith(end):
            return f"ends in {end}"
    return "digits-digits" if chat.kind == "group" and "-" in phone else shape_of(phone)


def check_people(result: ProbeResult) -> Finding:
    """Count the people with several rows."""
    chats = result.chats
    if len(chats) < 2:
        return skipped("people", TOO_FEW)
    rows: dict[str, list[Chat]] = {}
    for chat in chats:
        lid = chat.lid or (chat.phone if is_lid(chat.phone) else None)
        if lid is not None:
            rows.setdefault(lid, []).append(chat)
    several = [same for same in rows.values() if len(same) > 1]
    most_phones = max(
        (len({c.phone for c in same if c.phone not in (None, "0") and not is_lid(c.phone)}) for same in several),
        default=0,
    )
    alike = Counter(chat for same in several for chat in same)
    facts: dict[str, Value] = {
        "lids": len(rows),
        "repeated": len(several),
        "rows": sum(map(len, several)),
        "most": max(map(len, rows.values()), default=0),
        "phones": most_phones,
        "alike": sum(count for count in alike.values() if count > 1),
    }
    if not several:
        return ok("people", f"no lid comes twice among {len(chats)} rows", "", **facts)
    comes = "comes" if len(several) == 1 else "come"
    found = f"{len(several)} of {len(rows)} lids {comes} in several rows, up to {facts['most']} of them"
    if most_phones > 1:
        return warning(
            "people",
            f"{found}, and one lid has {most_phones} phones",
            f"merge_people keeps the rows of one lid with different phones apart. {_SEND_ADVICE}",
            **facts,
        )
    return ok("people", found, "That is usual. merge_people makes one chat for each person.", **facts)


def check_keys(result: ProbeResult, token: Secret) -> Finding:
    """Check the keys of the rows and the types of their values.

    The name of an unknown key is shown only if it looks like an identifier.
    """
    if not result.length:
        return skipped("keys", TOO_FEW)
    rows = parse_rows(result.body)
    types: dict[str, Counter[str]] = {}
    for row in rows:
        for key, value in row.items():
            types.setdefault(key, Counter())[type_of(value)] += 1
    unknown = Counter({key: counts.total() for key, counts in types.items() if key not in _KNOWN})
    names, others = plain_names(unknown, token)
    missing = tuple(key for key in _KNOWN if key not in types)
    found = f"{len(types) - len(unknown)} of the {len(_KNOWN)} known keys are present"
    if unknown:
        found += f", and {len(unknown)} unknown: {listed(names, others)}"
    return ok(
        "keys",
        found,
        "Page.rows contains the unknown keys." if unknown else "",
        rows=len(rows),
        known=_spelled(types, (key for key in _KNOWN if key in types)),
        missing=missing,
        unknown=_spelled(types, names),
        other_names=others,
    )


def _spelled(types: Mapping[str, Counter[str]], names: Iterable[str]) -> tuple[str, ...]:
    """Return the types of each name's values with their counts, such as "pinned: text 12, boolean 1"."""
    return tuple(
        f"{name}: {', '.join(f'{kind} {count}' for kind, count in types[name].most_common())}" for name in names
    )


def check_values(result: ProbeResult) -> Finding:
    """Check which values can't be read: their fields, the expected types, and their shapes."""
    if not result.length:
        return skipped("values", TOO_FEW)
    if not result.problem_count:
        return ok(
            "values", f"all values of {counted(result.length, 'row')} can be read", problems=0, rows_left_out=0, seen=()
        )
    rows, raws = parse_rows(result.body), split_array(result.body)
    kinds: Counter[str] = Counter()
    for problem in result.problems:
        value: Any = rows[problem.index].get(problem.field) if problem.field else value_of(bytes(raws[problem.index]))
        kinds[f"{problem.field or 'row'}: expected {problem.expected}, got {shape_of(value)}"] += 1
    seen = tuple(f"{kind}: {count}" for kind, count in kinds.most_common(_MAX_KINDS))
    more = f"; and {counted(len(kinds) - 1, 'other kind')}" if len(kinds) > 1 else ""
    rows_are = f"{counted(result.unreadable, 'row')} {'is' if result.unreadable == 1 else 'are'}"
    left_out = f", so that {rows_are} left out" if result.unreadable else ""
    return warning(
        "values",
        f"{counted(result.problem_count, 'value')} can't be read{left_out}: {seen[0]}{more}",
        "A walk uses the field's default instead, and lists them in Page.problems; with on_bad_value='raise' it fails. "
        f"{_SEND_ADVICE}",
        problems=result.problem_count,
        rows_left_out=result.unreadable,
        seen=seen,
    )
