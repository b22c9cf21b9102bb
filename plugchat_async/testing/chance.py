"""Choices that look random, and are the same in each run."""

import hashlib


def chance(purpose: str, key: object) -> float:
    """Return a number from 0 to below 1, always the same for the same arguments.

    Args:
        purpose: What is chosen, so that two choices for one key do not depend on each other.
        key: What it is chosen for.
    """
    digest = hashlib.blake2b(f"{purpose}\n{key}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
