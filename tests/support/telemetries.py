"""A telemetry whose calls raise."""

from typing import Any


class Broken:
    """A telemetry, and all of its parts, whose calls named in `broken` raise."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.calls: list[str] = []

    def _call(self, name: str) -> "Broken":
        self.calls.append(name)
        if name in self.broken:
            raise LookupError(name)
        return self

    def walk(self, **_: object) -> Any:
        return self._call("walk")

    def page(self, number: int, size: int) -> Any:
        return self._call("page")

    def attempt(self, **_: object) -> Any:
        return self._call("attempt")

    def resend(self, *_: object, **__: object) -> None:
        self._call("resend")

    def hold(self, *_: object) -> None:
        self._call("hold")

    def end(self, *_: object) -> None:
        self._call("end")
