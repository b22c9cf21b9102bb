"""Fetch the chats of many accounts concurrently."""

from plugchat_async.bulk.accounts import Account, read_accounts
from plugchat_async.bulk.fetch import BulkOptions, fetch_many
from plugchat_async.bulk.workers import AccountResult

__all__ = ["Account", "AccountResult", "BulkOptions", "fetch_many", "read_accounts"]
