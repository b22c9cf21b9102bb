"""Parts of how commands reach the service: the certificates that they trust, and the log of their requests."""

import ssl
from pathlib import Path

import pytest
import trustme

from plugchat_async import PlugChatSession
from plugchat_async.cli.connection import trusting
from plugchat_async.cli.log import RequestLog, logger
from plugchat_async.testing import PlugChatSimulator


def test_other_authorities_stay_trusted(tmp_path: Path) -> None:
    """Those of --ca-file come in addition, and servers are verified."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = trusting(tmp_path / "ca.pem")
    assert context.cert_store_stats()["x509_ca"] == ssl.create_default_context().cert_store_stats()["x509_ca"] + 1
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


async def test_the_log_of_requests(sim: PlugChatSimulator, caplog: pytest.LogCaptureFixture) -> None:
    """The address, and the status or the error; the account, where there are many, is a field."""
    caplog.set_level("INFO", logger.name)
    page = RequestLog().walk(consistency="exact", page_size=1, prefetch=0, account="Ana").page(1, 1)
    page.attempt(url="http://x", path="/", server="x", port=80, resends=0).end(None, TimeoutError(), 0.25)
    assert caplog.messages == ["GET http://x: TimeoutError in 0.250 s"]
    assert vars(caplog.records[0])["plugchat_account"] == "Ana"
    async with PlugChatSession(sim.token, base_url=sim.base_url, telemetry=RequestLog()) as session:
        await session.fetch_page(1, 10)
    assert caplog.messages[-1].startswith(f"GET {sim.base_url}/")
