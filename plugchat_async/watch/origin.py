"""Where a state comes from: the account that it is of, and what is known of its server."""

from collections.abc import Callable
from secrets import token_hex
from typing import Final, TypeAlias

from plugchat_async.errors import InvalidValueError
from plugchat_async.server_traits import ServerTraits
from plugchat_async.watch.snapshot import Snapshot

Fingerprint: TypeAlias = Callable[[str], str | None]
"""Returns a keyed hash of the account for a key, None as long as the account's token is not known."""

# How fingerprints begin: of the token, or of a name that the caller has chosen.
OF_TOKEN: Final = "token:"  # noqa: S105 - no token
OF_NAME: Final = "name:"


def check_account(snapshot: Snapshot, fingerprint: Fingerprint) -> None:
    """Check that a state is of this account. An unmarked state is of any.

    A state that is marked with a token's hash becomes one of a name when a name is given for the first time.

    Raises:
        InvalidValueError: The state is another account's.
    """
    if snapshot.account is None or snapshot.salt is None:
        return
    found = fingerprint(snapshot.salt)
    named = found is not None and found.startswith(OF_NAME) and snapshot.account.startswith(OF_TOKEN)
    if found is not None and found != snapshot.account and not named:
        raise InvalidValueError(
            "state belongs to another account, or this account has a new token or base URL",
            "Use one state for each account. If the token changes, pass a name of your own as `account`, each time.",
        )


def mark_account(snapshot: Snapshot, fingerprint: Fingerprint) -> None:
    """Mark a state as this account's, after an answer has shown that there is such an account."""
    salt = snapshot.salt or token_hex(16)
    found = fingerprint(salt)
    if found is not None and (snapshot.salt, snapshot.account) != (salt, found):
        snapshot.salt, snapshot.account, snapshot.dirty = salt, found, True


def restore_traits(snapshot: Snapshot, traits: ServerTraits) -> None:
    """Pass on to the session what an earlier watch has learned about the server.

    Raises:
        InvalidValueError: The state holds something else.
    """
    if snapshot.traits is not None:
        traits.update(ServerTraits.from_dict(snapshot.traits))


def save_traits(snapshot: Snapshot, traits: ServerTraits) -> None:
    """Keep in the snapshot what the session has learned about the server."""
    known = traits.to_dict()
    if known not in (snapshot.traits, ServerTraits().to_dict()):
        snapshot.traits, snapshot.dirty = known, True
