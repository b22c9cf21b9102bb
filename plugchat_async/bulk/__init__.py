"""Fetch the chats of many accounts concurrently."""

from typing import TYPE_CHECKING

from plugchat_async._internal.lazy import lazy_names

if TYPE_CHECKING:
    from plugchat_async.bulk.accounts import Account, read_accounts
    from plugchat_async.bulk.fetch import BulkOptions, fetch_many
    from plugchat_async.bulk.workers import AccountResult

__all__ = ["Account", "AccountResult", "BulkOptions", "fetch_many", "read_accounts"]

# `fetch_many` needs aiohttp, which takes a fifth of a second to import; reading a file of accounts does not.
if not TYPE_CHECKING:  # with it, type checkers would accept any name
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "accounts": ("Account", "read_accounts"),
            "fetch": ("BulkOptions", "fetch_many"),
            "workers": ("AccountResult",),
        },
    )
