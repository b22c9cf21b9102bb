"""The body of the vendor's "status" call -> an AccountStatus. Pure."""

import codecs
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
from attrs import evolve

from plugchat_async._secret import Secret
from plugchat_async._wire import excerpt, one_line
from plugchat_async.errors import NotJSONError, ResponseError
from plugchat_async.models import AccountStatus

# The vendor's spellings of a flag, for chats too.
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


def read_status(body: bytes, token: Secret) -> AccountStatus | ResponseError:
    """Return an account's status, or the error if the body holds none.

    Args:
        body: The response's body.
        token: What the texts must not show.
    """
    try:
        values: object = msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return NotJSONError(f"the body is not JSON: {excerpt(body, token)}")
    status = structure_status(cast("dict[str, Any]", values)) if isinstance(values, dict) else None
    if status is None:
        return ResponseError(f"the body is not an account's status: {excerpt(body, token)}")
    return evolve(status, error=None if status.error is None else one_line(status.error, token))


def structure_status(values: Mapping[str, Any]) -> AccountStatus | None:
    """Return the status that a JSON object holds, or None if it does not say whether the account is connected.

    Another value that can't be read counts as absent.
    """
    connected = _flag(values.get("connected"))
    if connected is None:
        return None
    error = values.get("error")
    return AccountStatus(
        connected,
        _flag(values.get("session")),
        _flag(values.get("smartphoneConnected")),
        error if isinstance(error, str) and error.strip() else None,
    )


def _flag(value: object) -> bool | None:
    return _FLAGS.get(str(value).strip().lower()) if isinstance(value, bool | int | str) else None
