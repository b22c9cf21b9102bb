"""What counts as a telemetry."""

from plugchat_async._http.telemetry import Telemetry
from plugchat_async.integrations.opentelemetry import OpenTelemetry
from support.telemetries import Broken


def test_both_are_telemetries() -> None:
    """By their methods."""
    telemetries: list[Telemetry] = [OpenTelemetry(), Broken()]
    assert all(isinstance(telemetry, Telemetry) for telemetry in telemetries)
