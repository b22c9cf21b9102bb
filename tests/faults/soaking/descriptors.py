"""Descriptors: how many are open, and how many may be."""

import resource
from pathlib import Path


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def room(walks: int, most: int) -> int:
    """Raise the limit of descriptors if need be, and say how many requests a session may have in flight under it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = walks * most + 200
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    while most > 1 and soft != resource.RLIM_INFINITY and walks * most + 200 > soft:
        most -= 1
    return most
