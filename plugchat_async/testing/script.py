"""The faults that are scripted for coming requests."""

from collections import defaultdict, deque
from collections.abc import Sequence

from attrs import define, field

from plugchat_async.errors import InvalidValueError
from plugchat_async.testing.faults import Fault

# A token and a page, None for any.
_Key = tuple[str | None, int | None]


@define
class FaultScript:
    """Faults in order, for all requests, or for those of an account, of a page, or of both.

    Attributes:
        faults: The faults that are still to come, by token and page, None for any.
    """

    faults: defaultdict[_Key, deque[Fault]] = field(init=False, factory=lambda: defaultdict(deque))

    def add(self, faults: Sequence[Fault], token: str | None, page: int | None) -> None:
        """Add faults behind the others for the same token and page, in place of one that lasts.

        Raises:
            InvalidValueError: A fault comes after one that lasts.
        """
        if any(fault.lasts for fault in faults[:-1]):
            raise InvalidValueError(
                "a fault comes after one that lasts, so it would never happen", "Put Fault.….always() at the end."
            )
        script = self.faults[token, page]
        if script and script[-1].lasts:
            script.pop()
        script.extend(faults)

    def next(self, token: str | None, page: int | None) -> Fault:
        """Return the fault of the next request: that of its account and page, of its account, of its page, of any."""
        for key in ((token, page), (token, None), (None, page), (None, None)):
            script = self.faults.get(key)
            if script:
                return script[0] if script[0].lasts else script.popleft()
        return Fault.none()
