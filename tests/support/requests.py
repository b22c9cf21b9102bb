"""What a simulator or a server was asked for."""

from plugchat_async.testing import PlugChatSimulator
from support.fakes import RawServer


def requested_pages(sim: PlugChatSimulator) -> list[tuple[int, int]]:
    """Return page and size of each request for a page, in order; -1 for one that was not given."""
    return [
        (int(request.page or -1), int(request.page_size or -1))
        for request in sim.requests
        if request.path == "/api/whatsapp/chats"
    ]


def requested_targets(server: RawServer) -> list[str]:
    """Return path and query of each request, in order."""
    return [request.split(b" ")[1].decode() for request in server.requests]
