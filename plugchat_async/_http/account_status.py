"""The body of the vendor's "status" call, as an AccountStatus. Pure."""

import codecs
from typing import Final

from attrs import evolve

from plugchat_async._http.response import excerpt, one_line
from plugchat_async._http.secret import Secret
from plugchat_async._internal.lenient_json import is_cut
from plugchat_async.converter import converter
from plugchat_async.errors import DecodeError, NotJSONError, ResponseError
from plugchat_async.models import AccountStatus

# A status has a hundred bytes. A large body would keep the event loop.
_MAX_BODY_BYTES: Final = 64 * 1024


def read_status(body: bytes, token: Secret) -> AccountStatus | ResponseError:
    """Return an account's status, or the error if the body is not a status.

    A value that can't be read counts as absent. Without a readable `connected` the body is not a status.

    Args:
        body: The response's body.
        token: The token to take out of texts.
    """
    statuses: tuple[AccountStatus, ...] = ()
    if len(body) > _MAX_BODY_BYTES:
        return ResponseError(f"the body is not an account's status: {excerpt(body, token)}")
    # The body is read as the only row of a page, by the same rules.
    page = b"[%b]" % (body.removeprefix(codecs.BOM_UTF8).strip() or b"nothing")
    try:
        statuses = converter.loads(page, AccountStatus, problems=[])
    except NotJSONError:
        return NotJSONError(f"the body is not JSON: {excerpt(body, token)}", truncated=is_cut(page))
    except DecodeError:
        """It is not a status: see below."""
    if len(statuses) != 1:
        return ResponseError(f"the body is not an account's status: {excerpt(body, token)}")
    [status] = statuses
    return evolve(status, error=None if status.error is None else one_line(status.error, token) or None)
