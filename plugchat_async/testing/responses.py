"""The simulated gateway's responses: by the vendor's page, with the simulator's quirks."""

from collections.abc import Mapping, Sequence

from aiohttp import hdrs, web

from plugchat_async._http.request import JSON_TYPE
from plugchat_async._http.urls import STATUS_PATH
from plugchat_async.calls import CALLS
from plugchat_async.testing.account import SimulatedAccount
from plugchat_async.testing.dialects import Dialect, write_page
from plugchat_async.testing.listing import Row, page_of
from plugchat_async.testing.quirks import Quirks


def response_to(
    request: web.Request,
    account: SimulatedAccount | None,
    quirks: Quirks,
    dialect: Dialect,
    turn: int,
    *,
    share: float = 1.0,
) -> web.Response:
    """Return the response to a request.

    Args:
        request: The request, for a list or for the status.
        account: The account that the request's token belongs to, None if there is none.
        quirks: The departures from the vendor's page.
        dialect: The spelling of chats.
        turn: A number that differs from response to response.
        share: The share of the list, from its top, that this response knows of. Default 1.0.
    """
    if request.method != quirks.method:
        return refusal(405, f"{request.method} is not allowed here, use {quirks.method}", {"Allow": quirks.method})
    if account is None:
        return refusal(401, "the token is missing or unknown")
    refused = _refuse_type(request, quirks)
    if refused is not None:
        return refused
    if request.path == STATUS_PATH:
        return web.json_response(account.status)
    chats = _page(request, account, quirks, turn, share)
    if isinstance(chats, web.Response):
        return chats
    return web.Response(body=write_page(chats, dialect), content_type=JSON_TYPE, charset="utf-8")


def _page(
    request: web.Request, account: SimulatedAccount, quirks: Quirks, turn: int, share: float
) -> Sequence[Row] | web.Response:
    """Return the rows of the requested page, or the response that refuses it."""
    page, size = number_in(request.query.get("page")), number_in(request.query.get("pageSize"))
    if page is None or page < quirks.first_page or not size:
        return refusal(400, "page and pageSize must be positive integers")
    if quirks.refuse_page_size_above is not None and size > quirks.refuse_page_size_above:
        return refusal(400, f"pageSize must be at most {quirks.refuse_page_size_above}")
    if not account.connected:
        return ()
    call = next(call for call in CALLS if call.path == request.path)
    chats = page_of(account, page, size, quirks, turn, share=share, call=call)
    return refusal(404, f"there is no page {page}") if chats is None else chats


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an error response with a message, as the gateway sends it."""
    return web.json_response({"error": message}, status=status, headers=headers)


def _refuse_type(request: web.Request, quirks: Quirks) -> web.Response | None:
    has_type = hdrs.CONTENT_TYPE in request.headers
    match quirks.content_type:
        case "required" if not has_type or request.content_type != JSON_TYPE:
            return refusal(415, "send Content-Type: application/json", {"Accept": JSON_TYPE})
        case "refused" if has_type:
            return refusal(415, "send no Content-Type: there is no body")
        case _:
            return None


def number_in(text: str | None) -> int | None:
    """Return the number that a parameter holds, None if it holds none."""
    # 18 digits suffice for any page; Python refuses to convert thousands of digits.
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None
