"""Rows of refusals: the gateway's own texts under each status, and pages of firewalls."""

import json
from collections.abc import Iterator
from typing import Any

from faults.matrix.cell import Row
from faults.matrix.peers import TOKEN, Peer, sends
from plugchat_async import (
    AccessDeniedError,
    AuthenticationError,
    NotAListError,
    NotConnectedError,
    PlugChatError,
    UnexpectedStatusError,
)
from support.fakes import http

LINES = ("400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "200 OK")
TEXTS: list[tuple[str, type[PlugChatError] | None]] = [
    ("your client-token is not configured", AuthenticationError),
    ("Instance not found", AuthenticationError),
    ("203.0.113.9 not allowed", AccessDeniedError),
    ("You need to be connected", NotConnectedError),
    ("You are not connected.", NotConnectedError),
    ("You need to restore the session.", NotConnectedError),
    ("Does not work in multi device version", None),
]
HTML = f"<html><body>Sorry, you have been blocked. You sent {TOKEN}</body></html>"


def refused(name: str, line: str, body: str, *headers: str, **expected: Any) -> Row:
    peer = sends(http(body.encode(), *headers, status=line), end="keep")
    return Row("Refusals", name, lambda: Peer(peer), **expected)


def texts() -> Iterator[Row]:
    for text, error in TEXTS:
        for line in LINES:
            by_status = NotAListError if line == "200 OK" else UnexpectedStatusError
            yield refused(
                f"{text} under {line[:3]}",
                line,
                json.dumps({"error": text, "sent": TOKEN}),
                error=error or by_status,
                says=f"the gateway says: '{text}' (HTTP {line})",
                label=f"`{text}`" if error is not None or line != "200 OK" else f"`{text}` under 200",
            )


REFUSALS = [
    *texts(),
    refused(
        "another text under 200",
        "200 OK",
        json.dumps({"error": f"no such thing: {TOKEN}"}),
        error=NotAListError,
        says="the gateway says: 'no such thing: ***' (HTTP 200 OK)",
    ),
    refused(
        "another text under 403",
        "403 Forbidden",
        json.dumps({"error": f"no such token: {TOKEN}"}),
        error=AuthenticationError,
        says="the gateway says: 'no such token: ***' (HTTP 403 Forbidden)",
    ),
    refused("an HTML page under 403", "403 Forbidden", HTML, "Content-Type: text/html", error=AccessDeniedError),
    refused("an HTML page under 401", "401 Unauthorized", HTML, "Content-Type: text/html", error=AuthenticationError),
    refused("text from Cloudflare under 403", "403 Forbidden", "denied", "Server: cloudflare", error=AccessDeniedError),
    refused("`error code: 1010` under 403", "403 Forbidden", "error code: 1010", error=AccessDeniedError),
]
