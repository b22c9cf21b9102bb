"""405 and 415: which changed request to try next.

Repeating a misconfigured request can't help. Each repair changes the request, is tried once for a page, and is kept
for the rest of the session if it works. Pure: (shape, response, repairs tried) -> the next repair, or None.
"""

from collections.abc import Collection, Iterator
from http import HTTPStatus

from attrs import evolve
from msgspec import Struct

from plugchat_async._http.wire import JSON_TYPE, RequestTemplate, Response


class Repair(Struct, frozen=True):
    """A change to the request: what it is called, in words for logs and errors, and the shape that has it.

    switches_host: it asks another server, whose refusal then says nothing about the first one's.
    departs: it leaves out what the vendor documents, so that being called a bad request (400) says nothing, either.
    """

    name: str
    shape: RequestTemplate
    switches_host: bool = False
    departs: bool = False

    def explains(self, status: int | None) -> bool:
        """Tell whether an error with this status, after the repair, is the one to raise; else what came before is."""
        return not self.switches_host and not (self.departs and status == HTTPStatus.BAD_REQUEST)


def next_repair(
    shape: RequestTemplate, response: Response, tried: Collection[str], began: RequestTemplate
) -> Repair | None:
    """Give the first repair that fits the response and has not been tried.

    shape: what the response answered. began: what the page was first asked for with.
    """
    match response.status:
        case 405:
            candidates = _repairs_for_405(shape, response)
        case 415:
            candidates = _repairs_for_415(shape, response, began)
        case _:
            return None
    return next((repair for repair in candidates if repair.name not in tried), None)


def _repairs_for_405(shape: RequestTemplate, response: Response) -> Iterator[Repair]:
    """The vendor: check that you sent the documented method. A server whose Allow names no GET can't be helped."""
    if response.allow is not None and "GET" not in response.allow:
        return
    if response.altered and not shape.bare:
        yield Repair("canonical method and path", evolve(shape, bare=True))
    other = shape.with_other_origin()
    if other is not None:
        yield Repair("the other documented host", other, switches_host=True)


def _repairs_for_415(shape: RequestTemplate, response: Response, began: RequestTemplate) -> Iterator[Repair]:
    """The vendor: check that you sent Content-Type. Some gateways refuse one on a GET without a body."""
    if response.sent_content_type != shape.content_type and not shape.bare:
        yield Repair("canonical headers", evolve(shape, bare=True))
    if shape.content_type is not None and began.content_type is not None:
        # Bare, since a header that an injected session adds can't be taken off a single request.
        yield Repair("no Content-Type", evolve(shape, content_type=None, bare=True), departs=True)
    elif shape.content_type is None and began.content_type is None:
        # An earlier page went without, which was kept: perhaps only because a server was inconsistent.
        yield Repair("the documented Content-Type", evolve(shape, content_type=JSON_TYPE))
