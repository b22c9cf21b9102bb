"""Values that an endpoint without a return type returns."""

from typing import Any

from fastapi.encoders import ENCODERS_BY_TYPE, encoders_by_class_tuples
from pydantic_core import to_jsonable_python

from plugchat_async._error_details import Problem
from plugchat_async.models import AccountStatus, ChatAdded, ChatChanged, ChatRemoved, Page, WalkReport

# FastAPI encodes a Chat as a dataclass, and the items of other calls.
_CLASSES = (AccountStatus, ChatAdded, ChatChanged, ChatRemoved, Page, Problem, WalkReport)


def add_encoders() -> None:
    """Let FastAPI encode our values by their schemas also where it has no type: it looks into these tables then."""
    ENCODERS_BY_TYPE.update(dict.fromkeys(_CLASSES, _encode))
    encoders_by_class_tuples[_encode] = _CLASSES  # for derived classes


def _encode(value: Any) -> Any:
    return to_jsonable_python(value)
