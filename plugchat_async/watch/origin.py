"""Where a state comes from: the account that it is of, and what is known of its server."""

from plugchat_async._pagination.account_mark import Fingerprint, check_mark, new_salt, set_mark
from plugchat_async.server_traits import ServerTraits
from plugchat_async.watch.snapshot import Snapshot


def check_account(snapshot: Snapshot, fingerprint: Fingerprint) -> None:
    """Check that a state is of this account. See `check_mark`.

    Raises:
        InvalidValueError: The state is another account's.
    """
    check_mark(snapshot, fingerprint, what="state")


def mark_account(snapshot: Snapshot, fingerprint: Fingerprint) -> None:
    """Mark a state as this account's, after an answer has shown that there is such an account."""
    if set_mark(snapshot, fingerprint, snapshot.salt or new_salt()):
        snapshot.dirty = True


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
