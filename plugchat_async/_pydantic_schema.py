"""Schemas of pydantic for attrs classes. Only pydantic asks for one, so it is imported when one is asked for."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from attrs import NOTHING, Factory, field, fields, frozen

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializerFunctionWrapHandler
    from pydantic_core import CoreSchema, SchemaSerializer

_Class = TypeVar("_Class", bound=type[Any])
# The references of the schemas that are being made, from the outermost to the innermost.
_being_made: ContextVar[frozenset[str]] = ContextVar("_being_made", default=frozenset())


@frozen
class ClientSchema:
    """An attrs class as clients of an API see it, in JSON and in its schema.

    Attributes:
        description: What a value is.
        members: The members in their order, each with its description. Fields of the class that are neither here nor
            in `hidden`, such as those of a derived class, come after them.
        attributes: The attribute of a member, where their names differ.
        constants: Members that always have the same value, which tells the classes of a union apart.
        hidden: Fields that clients neither see nor send, and their values in what a client sends.
        variables: For a generic class, the class of its module that a type variable stands for if none is given.
    """

    description: str
    members: Mapping[str, str]
    attributes: Mapping[str, str] = field(factory=dict[str, str])
    constants: Mapping[str, str] = field(factory=dict[str, str])
    hidden: Mapping[str, object] = field(factory=dict[str, object])
    variables: Mapping[str, str] = field(factory=dict[str, str])

    def attributes_of(self, cls: type[Any]) -> dict[str, str | None]:
        """Return all members in their order, each with its attribute, or None if it is constant."""
        named = {
            member: None if member in self.constants else self.attributes.get(member, member) for member in self.members
        }
        known = {*named.values(), *self.hidden}
        return named | {a.name: a.name for a in fields(cls) if a.name not in known}


def described_by(client: ClientSchema) -> Callable[[_Class], _Class]:
    """Return a decorator for the class that `client` describes, also for those that are derived from it."""

    def core_schema(cls: type[Any], source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        return _core_schema(cls, get_args(source), client, handler)

    def decorate(cls: _Class) -> _Class:
        cls.__get_pydantic_core_schema__ = classmethod(core_schema)
        cls.__pydantic_serializer__ = _Serializer()
        return cls

    return decorate


def described_as_list(cls: type[list[Any]]) -> None:
    """Let pydantic take a generic class for a list of items. What it makes of JSON is of the class again."""

    def core_schema(_: type[Any], source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema as schemas  # noqa: PLC0415 - may be missing, and is slow to load

        items = [handler.generate_schema(item) for item in get_args(source)]
        return schemas.no_info_after_validator_function(cls, schemas.list_schema(*items))

    setattr(cls, "__get_pydantic_core_schema__", classmethod(core_schema))  # noqa: B010 - a list has no such attribute


def like_dataclass(cls: _Class) -> _Class:
    """Let an attrs class pass for a dataclass: FastAPI takes those for the body of a request, and no other classes."""
    for name in ("__dataclass_fields__", "__dataclass_params__"):
        setattr(cls, name, _OfDataclass(name))
    return cls


@frozen
class _OfDataclass:
    """An attribute of the dataclass with the fields of a class, also of one that is derived later."""

    name: str

    def __get__(self, instance: object, owner: Any) -> object:
        return getattr(_dataclass_of(owner), self.name)


@cache
def _dataclass_of(cls: Any) -> type[Any]:
    own: list[tuple[str, Any, Any]] = []
    for a in fields(cls):
        options: dict[str, Any] = {"kw_only": a.kw_only}
        if _has_factory(a):
            options["default_factory"] = type(None) if a.default.takes_self else a.default.factory
        elif a.default is not NOTHING:
            options["default"] = a.default
        own.append((a.name, a.type, dataclasses.field(**options)))
    return dataclasses.make_dataclass(cls.__name__, own, frozen=True)


def _has_factory(attribute: Any) -> bool:
    return isinstance(attribute.default, cast("type", Factory))


class _Serializer:
    """The serializer of a class, by which pydantic writes its values where the annotation is Any."""

    def __get__(self, instance: object, owner: Any) -> "SchemaSerializer":
        try:
            return _serializer_of(owner)
        # Somebody may ask who looks at all attributes.
        except Exception as error:  # without pydantic, or where a field's class has no schema
            raise AttributeError(str(error)) from error


@cache
def _serializer_of(cls: Any) -> "SchemaSerializer":
    from pydantic import TypeAdapter  # noqa: PLC0415 - may be missing, and is slow to load

    return TypeAdapter(cls).serializer


def _core_schema(
    cls: type[Any], arguments: tuple[Any, ...], client: ClientSchema, handler: "GetCoreSchemaHandler"
) -> "CoreSchema":
    """Return the schema of a class: its values are taken as they are, and objects of JSON become values."""
    from pydantic import PydanticUserError  # noqa: PLC0415 - may be missing, and is slow to load
    from pydantic_core import core_schema  # noqa: PLC0415 - may be missing, and is slow to load

    if any("__dataclass_fields__" in (own := vars(base)) and "__attrs_attrs__" not in own for base in cls.__mro__):
        # attrs does not know its fields, so they would be left out without a word.
        raise PydanticUserError(f"{cls.__name__} is derived by dataclass: use attrs.frozen instead", code=None)
    reference = _reference(cls) + (f"[{','.join(map(_reference, arguments))}]" if arguments else "")
    outer = _being_made.get()
    if reference in outer:  # a class with a field of its own type
        return core_schema.definition_reference_schema(reference)
    attributes = client.attributes_of(cls)
    hints = _hints_of(cls, arguments, client.variables)
    known = {a.name: a for a in fields(cls)}

    def object_schema(*, sent: bool) -> "CoreSchema":
        """Return the schema of the object. We send all members; a client may leave out those with a default."""
        members: dict[str, core_schema.TypedDictField] = {}
        for member, attribute in attributes.items():
            if attribute is None:
                inner: CoreSchema = core_schema.literal_schema([client.constants[member]])
                optional = False
            else:
                inner = handler.generate_schema(hints[attribute])
                optional = known[attribute].default is not NOTHING
                if optional and not _has_factory(known[attribute]):
                    inner = core_schema.with_default_schema(inner, default=known[attribute].default)
            described = {"description": client.members[member]} if member in client.members else {}
            members[member] = core_schema.typed_dict_field(
                inner, required=sent or not optional, metadata={"pydantic_js_updates": described}
            )
        return core_schema.typed_dict_schema(members)

    title = cls.__name__ + (f"[{', '.join(map(_name_of, arguments))}]" if arguments else "")
    about = {"title": title, "description": client.description}
    token = _being_made.set(outer | {reference})
    try:
        received, sent = object_schema(sent=False), object_schema(sent=True)
    finally:
        _being_made.reset(token)
    return core_schema.no_info_wrap_validator_function(
        _reader(cls, attributes, client.hidden),
        received,
        ref=reference,
        metadata={"pydantic_js_functions": [_object_of], "pydantic_js_updates": about},
        # Not a plain function with a return schema, to which pydantic passes no `include` and `exclude`.
        serialization=core_schema.wrap_serializer_function_ser_schema(
            _writer(cls, attributes, client.constants), schema=sent
        ),
    )


def _object_of(schema: Any, handler: "GetJsonSchemaHandler") -> dict[str, Any]:
    """Return JSON's schema of a class: that of the object which is sent, or of the one which is received."""
    return handler(schema["serialization"]["schema"] if handler.mode == "serialization" else schema["schema"])


def _reference(kind: Any) -> str:
    """Return the name of a class or of a type in the form in which pydantic makes names for JSON's schema of it."""
    name = f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) else _name_of(kind)
    return f"{name}:{id(kind)}"


def _name_of(kind: Any) -> str:
    """Return the name of a class or of a type, which may be a union, a type variable, or one that is named ahead."""
    if get_origin(kind) is Annotated:
        return _name_of(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(map(_name_of, get_args(kind)))
    name: str = getattr(kind, "__forward_arg__", None) or kind.__name__
    return name


def _hints_of(cls: type[Any], arguments: tuple[Any, ...], defaults: Mapping[str, str]) -> dict[str, Any]:
    """Return the types of a class's fields. The arguments, or defaults, take the place of its type variables."""
    module = vars(sys.modules[cls.__module__])
    variables = getattr(cls, "__parameters__", ())
    given: dict[Any, Any] = {variable: module.get(defaults.get(variable.__name__, ""), Any) for variable in variables}
    given |= zip(variables, arguments, strict=False)
    hints = get_type_hints(cls, include_extras=True)  # pydantic's Field is one
    for name, hint in hints.items():
        parameters = getattr(hint, "__parameters__", ())
        hints[name] = hint[tuple(map(given.get, parameters))] if parameters else given.get(hint, hint)
    return hints


def _reader(
    cls: type[Any], attributes: Mapping[str, str | None], hidden: Mapping[str, object]
) -> Callable[[Any, Callable[[Any], Any]], Any]:
    """Return the function that makes a value of what a client sends."""
    from pydantic_core import PydanticCustomError  # noqa: PLC0415 - may be missing, and is slow to load

    aliases = {a.name: a.alias for a in fields(cls)}

    def read(value: Any, validate: Callable[[Any], Any]) -> Any:
        if isinstance(value, cls):
            return value
        members = validate(value)
        values = {name: members[member] for member, name in attributes.items() if name and member in members}
        if not hasattr(cls, "from_dict"):
            return cls(**hidden, **{aliases[name]: value for name, value in values.items()})
        try:
            return cls.from_dict(values)  # it checks more than types
        except ValueError as error:
            reason = str(getattr(error, "message", error))
        raise PydanticCustomError("value_error", "{reason}", {"reason": reason})

    return read


def _writer(
    cls: type[Any], attributes: Mapping[str, str | None], constants: Mapping[str, str]
) -> Callable[[Any, "SerializerFunctionWrapHandler"], Any]:
    """Return the function that writes the members of a value."""
    from pydantic_core import PydanticSerializationUnexpectedValue  # noqa: PLC0415 - may be missing, and is slow to load

    def write(value: Any, serialize: "SerializerFunctionWrapHandler") -> Any:
        if not isinstance(value, cls):  # so that pydantic tries the next class of a union
            raise PydanticSerializationUnexpectedValue(f"expected {cls.__name__}, got {type(value).__name__}")
        return serialize(
            {
                member: constants[member] if attribute is None else getattr(value, attribute)
                for member, attribute in attributes.items()
            }
        )

    return write
