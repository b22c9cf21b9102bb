"""Which account a checkpoint, or the state of a watch, is of.

It is marked with a keyed hash of the base URL and the token, or of a name that the caller has chosen. The key is random
and in the mark itself: it keeps anyone from looking tokens up in a table. A token has too many values to be guessed.
"""

from collections.abc import Callable
from secrets import token_hex
from typing import Final, Protocol, TypeAlias

from attrs import define, field

from plugchat_async._internal.validation import check_type
from plugchat_async.errors import InvalidValueError

Fingerprint: TypeAlias = Callable[[str], str | None]
"""Returns a keyed hash of the account for a key, None as long as the account's token is not known."""

# How fingerprints begin: of the token, or of a name that the caller has chosen.
OF_TOKEN: Final = "token:"  # noqa: S105 - no token
OF_NAME: Final = "name:"
# As many as the hash takes.
_MAX_SALT_BYTES: Final = 64


class Marked(Protocol):
    """What is marked.

    Attributes:
        salt: The key of the hash, None without a mark.
        account: The hash, None without a mark.
    """

    salt: str | None
    account: str | None


def new_salt() -> str:
    """Return a random key."""
    return token_hex(16)


def check_mark(marked: Marked, fingerprint: Fingerprint, *, what: str, own_salt: str | None = None) -> bool:
    """Check that something is of this account. What is not marked is of any.

    The mark of a token becomes one of a name when a name is given for the first time.

    Args:
        marked: What is marked.
        fingerprint: Returns the account's fingerprint.
        what: What it is, for the error.
        own_salt: The key of the marks that this session has made. Its token may have changed since.

    Returns:
        Whether the account is known.

    Raises:
        InvalidValueError: It is another account's, or its mark can't be one.
    """
    if len((marked.salt or "").encode()) > _MAX_SALT_BYTES:
        raise InvalidValueError(f"{what} has no valid mark of its account", "Pass it as it was written.")
    if marked.account is None or marked.salt is None:
        return True
    found = fingerprint(marked.salt)
    if found is None or found == marked.account:
        return found is not None
    if marked.account.startswith(OF_TOKEN) and (found.startswith(OF_NAME) or marked.salt == own_salt):
        return True
    raise InvalidValueError(
        f"{what} belongs to another account, or this account has a new token or base URL",
        f"Use one {what} for each account. If either changes, pass a name of your own as `account`, each time.",
    )


def set_mark(marked: Marked, fingerprint: Fingerprint, salt: str) -> bool:
    """Mark something as this account's, if that is known. Return whether it was not marked so before."""
    found = fingerprint(salt)
    if found is None or (marked.salt, marked.account) == (salt, found):
        return False
    marked.salt, marked.account = salt, found
    return True


@define(eq=False, repr=False)
class WalkMark:
    """The mark of a walk's checkpoints.

    Attributes:
        state: The state of the walk, which is what is marked.
        fingerprint: Returns the account's fingerprint.
        own_salt: The key of the marks that the session makes.
    """

    _state: Marked
    _fingerprint: Fingerprint
    _own_salt: str
    _is_set: bool = field(default=False, init=False)

    def check(self) -> bool:
        """Check that a checkpoint that is resumed is of this account, see `check_mark`."""
        return check_mark(self._state, self._fingerprint, what="checkpoint", own_salt=self._own_salt)

    def set(self) -> None:
        """Check it, and set it, after the first answer: it shows that there is such an account, and its token."""
        if not self._is_set:
            self.check()
            set_mark(self._state, self._fingerprint, self._own_salt)
            self._is_set = True


def check_account_name(account: object) -> None:
    """Raise InvalidTypeError or InvalidValueError unless `account` is None or a name."""
    check_type("account", account, str, optional=True)
    if account == "":
        raise InvalidValueError("account is empty", "Pass a name of your own, such as the account's number.")
