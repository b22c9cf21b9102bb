"""What the simulated gateway answers: by the vendor's page, and by what a simulator is told to do in its own way."""

from collections.abc import Mapping

from aiohttp import hdrs, web

from plugchat_async._http.request import JSON_TYPE
from plugchat_async._http.urls import STATUS_PATH
from plugchat_async.testing.account import SimulatedAccount
from plugchat_async.testing.dialects import Dialect, write_page
from plugchat_async.testing.quirks import Quirks


def answer_to(
    request: web.Request, account: SimulatedAccount | None, quirks: Quirks, dialect: Dialect, turn: int
) -> web.Response:
    """Return the answer to a request.

    Args:
        request: The request, for chats or for the status.
        account: The account that the request's token belongs to; None if there is none.
        quirks: What is answered in another way than by the vendor's page.
        dialect: How chats are spelled.
        turn: A number that is another one for each answer.
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
    return _list(request, account, quirks, dialect, turn)


def _list(request: web.Request, account: SimulatedAccount, quirks: Quirks, dialect: Dialect, turn: int) -> web.Response:
    page, size = _number(request.query.get("page")), _number(request.query.get("pageSize"))
    if page is None or page < quirks.first_page or not size:
        return refusal(400, "page and pageSize must be positive integers")
    if quirks.refuse_page_size is not None and size > quirks.refuse_page_size:
        return refusal(400, f"pageSize must be at most {quirks.refuse_page_size}")
    window = quirks.window(account, page, size, turn) if account.connected else ()
    return web.Response(body=write_page(window, dialect), content_type=JSON_TYPE, charset="utf-8")


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer that says no, as the gateway does."""
    return web.json_response({"error": message}, status=status, headers=headers)


def _refuse_type(request: web.Request, quirks: Quirks) -> web.Response | None:
    has_one = hdrs.CONTENT_TYPE in request.headers
    match quirks.content_type:
        case "required" if not has_one or request.content_type != JSON_TYPE:
            return refusal(415, "send Content-Type: application/json", {"Accept": JSON_TYPE})
        case "refused" if has_one:
            return refusal(415, "send no Content-Type: there is no body")
        case _:
            return None


def _number(text: str | None) -> int | None:
    # 18 digits are more pages than there are; int() of thousands is refused by Python.
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None
