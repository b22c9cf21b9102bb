"""A gateway with given rows, in any spelling."""

import asyncio
import json
import re
from collections.abc import Sequence

from support.fakes import RawServer, http

CONNECTED = b'{"connected": true, "session": true, "smartphoneConnected": true}'


class Gateway(RawServer):
    """A gateway that pages over rows, or sends the same response to each request for a page.

    rows: the rows, or the response. status: the response to requests for the status. headers: those of pages.
    """

    def __init__(self, rows: Sequence[object] | bytes, status: bytes = http(CONNECTED), *headers: str) -> None:
        self._rows = rows
        self._status = status
        self._headers = headers
        super().__init__(self._handle)

    @property
    def paths(self) -> list[str]:
        """The paths of all requests, in order."""
        return [request.split(b" ")[1].decode() for request in self.requests]

    async def _handle(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = re.search(r"page=(\d+)&pageSize=(\d+)", self.paths[-1])
        if found is None:
            writer.write(self._status)
        elif isinstance(self._rows, bytes):
            writer.write(self._rows)
        else:
            page, size = max(1, int(found[1])), int(found[2])  # page 0 is page 1
            body = json.dumps(self._rows[(page - 1) * size : page * size])
            writer.write(http(body.encode(), *self._headers))
        await writer.drain()
