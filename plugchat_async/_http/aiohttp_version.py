"""The check that aiohttp is new enough, before a module needs what an older one does not have."""

import re
from typing import Final

from plugchat_async.errors import MissingExtraError

# With it, what is promised is kept. Installers get a later one, which mends an advisory: see pyproject.toml.
MIN_VERSION: Final = (3, 14, 1)


def check_aiohttp(version: str) -> None:
    """Raise unless aiohttp is new enough.

    Args:
        version: Its version.

    Raises:
        MissingExtraError: It is too old. This is an ImportError as well.
    """
    if tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < MIN_VERSION:
        needed = ".".join(map(str, MIN_VERSION))
        raise MissingExtraError(
            f"aiohttp {version} is too old: plugchat-async needs {needed} or newer",
            "Update it: pip install -U aiohttp. If another package holds it back, pip check names that one.",
        )
