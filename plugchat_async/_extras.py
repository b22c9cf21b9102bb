"""What needs libraries that are installed with an extra only."""

from collections.abc import Generator
from contextlib import contextmanager

from plugchat_async.errors import MissingExtraError


@contextmanager
def needing(extra: str, what: str) -> Generator[None]:
    """Import what an extra brings. MissingExtraError if it is not there: `what` needs it, in the message's words."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "a library").partition(".")[0]
        raise MissingExtraError(
            f"{what} needs {missing}", f"Install the extra: pip install 'plugchat-async[{extra}]'."
        ) from None
