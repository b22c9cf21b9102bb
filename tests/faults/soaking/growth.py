"""Growth: samples of what there is, and what there is more of in the end."""

import asyncio
import gc
import os
import resource
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from attrs import frozen

from faults.soaking.descriptors import descriptors
from plugchat_async import Chat


@frozen
class Sample:
    """What there is at a moment. Objects are the package's, but for chats: walks keep those that they have yielded."""

    second: float
    walks: int
    tasks: int
    descriptors: int
    objects: int
    rss: int

    @classmethod
    def take(cls, second: float, walks: int) -> "Sample":
        kinds = map(type, gc.get_objects())
        objects = sum(kind is not Chat and str(kind.__module__).startswith("plugchat_async") for kind in kinds)
        return cls(second, walks, len(asyncio.all_tasks()), descriptors(), objects, rss())


# What there may be more of in the last quarter than in the second one: this part of it, and this much in any case.
# Memory is lost to fragments for some minutes, and to the regular expressions that `re` keeps, up to 512 of them.
SLACK: Final = {"tasks": (0.15, 100), "descriptors": (0.15, 100), "objects": (0.15, 1000), "rss": (0.1, 18_000_000)}


def grown(samples: Sequence[Sample]) -> list[str]:
    """Say what has grown from the second quarter to the last."""
    quarter = len(samples) // 4
    found: list[str] = []
    for name, (part, much) in SLACK.items():
        before, after = (
            median(getattr(sample, name) for sample in some)
            for some in (samples[quarter : 2 * quarter], samples[-quarter:])
        )
        if after - before > max(part * before, much):
            found.append(f"{name} grew from {before:,.0f} in the second quarter to {after:,.0f} in the last one")
    return found


def rss() -> int:
    """Bytes of memory. Where there is no /proc, the most there ever was."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
