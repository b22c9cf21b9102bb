"""Imports of libraries that only an extra installs."""

from collections.abc import Generator
from contextlib import contextmanager

from plugchat_async.errors import MissingExtraError


@contextmanager
def needing(extra: str, what: str) -> Generator[None]:
    """Raise MissingExtraError if an import in the body fails.

    Args:
        extra: The extra that installs the library.
        what: What needs it, for the message.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "a library").partition(".")[0]
        raise MissingExtraError(
            f"{what} needs {missing}", f"Install the extra: pip install 'plugchat-async[{extra}]'."
        ) from None
