"""The vendor's spelling of chats: one cattrs converter, with all rules for values.

    from plugchat_async.converter import converter

    converter.structure(row, Chat)    # from a row: a dict of a webhook, a file, a test
    converter.unstructure(chat)       # to a row; a chat that was read is read back the same
    converter.loads(body)             # from the body of a page

The vendor's page of 2021 and today's gateway spell values differently, and neither keeps to its own types. So each
value is read in every spelling that was documented or seen:

- Names are camelCase on the wire; `pinned`, `archived` and `muteEndTime` have other names here.
- null, "" and, except for texts, "null" count as an absent key.
- A text may be a number: its digits are used.
- A count may be a text, a number or a boolean. -1, "marked as unread" without a message, is 0.
- A flag may be a boolean, "true" or "false" in any case, 0 or 1, as a number or a text.
- A time may be in seconds, milliseconds or microseconds, as a number or a text, distinguished by size; or RFC 3339 with
  an offset. 0 is "no message yet". `muteEndTime` -1 is "forever".

To read more than the vendor's rows, copy it: `mine = converter.copy()` has all of these rules, and accepts hooks of
your own, such as for an attrs class with a field of type Chat.
"""

from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar, cast, get_args, overload

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from plugchat_async._error_details import Problem
from plugchat_async._http.decode import Decoded, OnBadValue, decode, decode_slices
from plugchat_async._http.decode_values import (
    ID_FIELDS,
    READ_BY_NAME,
    WRITTEN_BY_NAME,
    MalformedValueError,
    may_be_none,
    required_time,
    structure_count,
    structure_flag,
    structure_text,
    structure_time,
    whole_text,
    wire_name,
    write_time,
)
from plugchat_async._http.secret import Secret
from plugchat_async._internal.steps import finish
from plugchat_async.errors import ResponseError
from plugchat_async.models import Chat

T = TypeVar("T")


def _structure_class(cls: Any, converter: Converter) -> Callable[[object, object], object]:
    """Return a hook that reads the vendor's objects into an attrs class."""
    members = attrs.fields(attrs.resolve_types(cls))
    spelled: dict[str, Any] = {
        a.name: override(rename=wire_name(a.name), struct_hook=_hook_of(a, converter)) for a in members
    }
    structure = make_dict_structure_fn(cls, converter, **spelled)
    is_text = {wire_name(a.name): str in (a.type, *get_args(a.type)) for a in members}
    ids = [a.name for a in members if a.name in ID_FIELDS]
    optional = [a.name for a in members if a.default is attrs.NOTHING and may_be_none(a.type)]

    def structure_object(row: object, _: object) -> object:
        if not isinstance(row, Mapping):
            raise MalformedValueError("an object")
        rows = cast("Mapping[str, object]", row)
        present = {name: value for name, text in is_text.items() if not _is_absent(value := rows.get(name), text=text)}
        for name in optional:
            present.setdefault(wire_name(name), None)
        item = structure(present, cls)
        if ids and not any(getattr(item, name) for name in ids):
            raise MalformedValueError("a phone or a lid")
        return item

    return structure_object


def _hook_of(member: "attrs.Attribute[Any]", converter: Converter) -> Callable[[Any, Any], object] | None:
    """Return the hook of a field that is not read by its type alone, else None."""
    is_time = datetime in (member.type, *get_args(member.type))
    read: Callable[[Any, Any], object] | None = READ_BY_NAME.get(member.name) if is_time else None
    if member.type is not datetime:
        return read
    return partial(required_time, read or converter.get_structure_hook(datetime))


def _is_absent(value: object, *, text: bool) -> bool:
    return value is None or value == "" or (not text and isinstance(value, str) and value.lower() == "null")


def _unstructure_class(cls: Any, converter: Converter) -> Callable[[Any], dict[str, Any]]:
    """Return a hook that writes objects of an attrs class as the vendor's objects."""
    members = attrs.fields(attrs.resolve_types(cls))
    spelled: dict[str, Any] = {
        a.name: override(rename=wire_name(a.name), unstruct_hook=WRITTEN_BY_NAME.get(a.name)) for a in members
    }
    write = make_dict_unstructure_fn(cls, converter, **spelled)
    return lambda item: {name: value for name, value in write(item).items() if value is not None}


class WireConverter(Converter):
    """A cattrs converter with the vendor's rules; see the module. Get one with `converter.copy()`."""

    _hooks_of_others = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_structure_hook(str, structure_text)
        self.register_structure_hook(int, structure_count)
        self.register_structure_hook(bool, structure_flag)
        self.register_structure_hook(datetime, structure_time)
        self.register_structure_hook_factory(attrs.has, _structure_class)
        self.register_unstructure_hook(bool, lambda flag: "true" if flag else "false")
        self.register_unstructure_hook(int, str)
        self.register_unstructure_hook(datetime, write_time)
        self.register_unstructure_hook_factory(attrs.has, _unstructure_class)
        self._hooks_of_others = False

    def register_structure_hook(self, *args: Any, **options: Any) -> Any:
        """As of every converter."""
        self._hooks_of_others = True
        return super().register_structure_hook(*args, **options)

    def register_structure_hook_func(self, *args: Any, **options: Any) -> None:
        """As of every converter."""
        self._hooks_of_others = True
        super().register_structure_hook_func(*args, **options)

    def register_structure_hook_factory(self, *args: Any, **options: Any) -> Any:
        """As of every converter."""
        self._hooks_of_others = True
        registered: Any = cast("Any", super()).register_structure_hook_factory(*args, **options)
        return registered

    @overload
    def loads(self, body: bytes | str, *, problems: list[Problem] | None = ...) -> tuple[Chat, ...]: ...

    @overload
    def loads(self, body: bytes | str, item: type[T], *, problems: list[Problem] | None = ...) -> tuple[T, ...]: ...

    def loads(
        self, body: bytes | str, item: type[Any] = Chat, *, problems: list[Problem] | None = None
    ) -> tuple[Any, ...]:
        """Read the body of a page.

        Args:
            body: A JSON array of rows, UTF-8 if it is bytes.
            item: The attrs class of the rows (default Chat).
            problems: A list to which a Problem is added for each value that can't be read, a thousand at most. The
                value is then the field's default, and a row that is not a chat is left out. None (default): they are
                raised.

        Returns:
            The chats in the order of the rows.

        Raises:
            NotJSONError: The body is not JSON.
            NotAListError: The body is not an array.
            DecodeError: Values can't be read, or, with `problems`, more than half of the rows are not chats.

        """
        data = whole_text(body).encode() if isinstance(body, str) else body
        steps = self.decode_slices(data, Secret(""), item, "raise" if problems is None else "warn")
        return finish(decode(steps, problems))

    def loads_in_steps(self, body: bytes, item: type[Any]) -> Generator[None, None, tuple[Any, ...]]:
        """Do what `loads` does with `problems`, and pause after every few hundred microseconds."""
        return decode(self.decode_slices(body, Secret(""), item, "warn"), [])

    def decode_slices(
        self, body: bytes, token: Secret, item: type[Any], on_bad_value: OnBadValue
    ) -> Generator[None, None, Decoded | ResponseError]:
        """Read the body of a page, and pause after every few hundred microseconds: see `_http.decode`."""
        # The accelerator has no hooks that were registered later, or in a copy.
        accelerated = self is converter and not self._hooks_of_others
        return decode_slices(body, token, item, on_bad_value, self, accelerated=accelerated)


converter: Final = WireConverter()
