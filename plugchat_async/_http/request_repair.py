"""405 and 415: which changed request to try next.

To repeat a misconfigured request can't help. Each repair changes the request, is tried once for a page, and is kept
for the rest of the session if it works. Pure: (template, response, repairs tried) -> the next repair, or None.
"""

from collections.abc import Collection, Iterator
from http import HTTPStatus

from attrs import evolve
from msgspec import Struct

from plugchat_async._http.request import JSON_TYPE, RequestTemplate
from plugchat_async._http.response import Response


class Repair(Struct, frozen=True):
    """A change to the request.

    Attributes:
        name: Its name, for logs and errors.
        template: The changed template.
        switches_host: Whether another server is asked. Its refusal says nothing about the first one's.
        departs: Whether something is left out that the vendor documents. Then a 400 says nothing either.
    """

    name: str
    template: RequestTemplate
    switches_host: bool = False
    departs: bool = False

    def explains(self, status: int | None) -> bool:
        """Return whether an error with this status, after the repair, is the one to raise, not the one before it."""
        return not self.switches_host and not (self.departs and status == HTTPStatus.BAD_REQUEST)


def next_repair(
    template: RequestTemplate, response: Response, tried: Collection[str], original: RequestTemplate
) -> Repair | None:
    """Return the first repair that fits the response and has not been tried, or None.

    Args:
        template: The template of the request that was answered.
        response: The response.
        tried: The names of the repairs that were tried.
        original: The template of the page's first request.
    """
    match response.status:
        case 405:
            candidates = _repairs_for_405(template, response)
        case 415:
            candidates = _repairs_for_415(template, response, original)
        case _:
            return None
    return next((repair for repair in candidates if repair.name not in tried), None)


def _repairs_for_405(template: RequestTemplate, response: Response) -> Iterator[Repair]:
    """The vendor: check that you sent the documented method. A server whose Allow names no GET can't be helped."""
    if response.allow is not None and "GET" not in response.allow:
        return
    if response.altered and not template.bare:
        yield Repair("canonical method and path", evolve(template, bare=True))
    other = template.with_other_origin()
    if other is not None:
        yield Repair("the other documented host", other, switches_host=True)


def _repairs_for_415(template: RequestTemplate, response: Response, original: RequestTemplate) -> Iterator[Repair]:
    """The vendor: check that you sent Content-Type. Some gateways refuse one on a GET without a body."""
    if response.sent_content_type != template.content_type and not template.bare:
        yield Repair("canonical headers", evolve(template, bare=True))
    if template.content_type is not None and original.content_type is not None:
        # Bare, since a header that an injected session adds can't be taken off a single request.
        yield Repair("no Content-Type", evolve(template, content_type=None, bare=True), departs=True)
    elif template.content_type is None and original.content_type is None:
        # An earlier page was fetched without one, which was kept: perhaps only because a server was inconsistent.
        yield Repair("the documented Content-Type", evolve(template, content_type=JSON_TYPE))
