"""Async SDK for the Plug Chat WhatsApp gateway: every chat of an account, typed, and errors that help."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from plugchat_async._commons import SessionOptions
from plugchat_async._driver import ChatsOptions
from plugchat_async._evidence import Attempt, Problem
from plugchat_async._exchange import TimeSource
from plugchat_async._retry import RetryPolicy
from plugchat_async._wire import __version__
from plugchat_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    ConsistencyError,
    DecodeError,
    InvalidTypeError,
    InvalidValueError,
    MethodNotAllowedError,
    NotAListError,
    NotJSONError,
    OutputError,
    PageLimitError,
    PageRepeatedError,
    PaginationError,
    PlugChatError,
    RateLimitedError,
    RedirectedError,
    RequestTimeoutError,
    ResponseError,
    ResponseTooLargeError,
    ServerError,
    ServiceError,
    SessionStateError,
    TokenError,
    UnexpectedStatusError,
    UnsupportedMediaTypeError,
)
from plugchat_async.models import Chat, ChatAdded, ChatChanged, ChatEvent, ChatRemoved, Page, WalkReport
from plugchat_async.session import PlugChatSession

if TYPE_CHECKING:
    from plugchat_async._crew import AccountResult
    from plugchat_async.accounts import Account, read_accounts
    from plugchat_async.bulk import BulkOptions, fetch_many
    from plugchat_async.bulk_export import AccountExport, ExportSummary, export_many
    from plugchat_async.export import to_arrow, to_polars, write_csv, write_jsonl, write_parquet
    from plugchat_async.watch import Outage, WatchOptions, WatchState

# What a program with one account does not need is loaded when it is asked for (PEP 562).
_LATER = {
    "Account": "accounts",
    "AccountExport": "bulk_export",
    "AccountResult": "_crew",
    "BulkOptions": "bulk",
    "ExportSummary": "bulk_export",
    "Outage": "watch",
    "WatchOptions": "watch",
    "WatchState": "watch",
    "export_many": "bulk_export",
    "fetch_many": "bulk",
    "read_accounts": "accounts",
    "to_arrow": "export",
    "to_polars": "export",
    "write_csv": "export",
    "write_jsonl": "export",
    "write_parquet": "export",
}

__all__ = [
    "Account",
    "AccountExport",
    "AccountResult",
    "Attempt",
    "AuthenticationError",
    "BulkOptions",
    "Chat",
    "ChatAdded",
    "ChatChanged",
    "ChatEvent",
    "ChatRemoved",
    "ChatsOptions",
    "ConfigurationError",
    "ConnectionFailedError",
    "ConsistencyError",
    "DecodeError",
    "ExportSummary",
    "InvalidTypeError",
    "InvalidValueError",
    "MethodNotAllowedError",
    "NotAListError",
    "NotJSONError",
    "Outage",
    "OutputError",
    "Page",
    "PageLimitError",
    "PageRepeatedError",
    "PaginationError",
    "PlugChatError",
    "PlugChatSession",
    "Problem",
    "RateLimitedError",
    "RedirectedError",
    "RequestTimeoutError",
    "ResponseError",
    "ResponseTooLargeError",
    "RetryPolicy",
    "ServerError",
    "ServiceError",
    "SessionOptions",
    "SessionStateError",
    "TimeSource",
    "TokenError",
    "UnexpectedStatusError",
    "UnsupportedMediaTypeError",
    "WalkReport",
    "WatchOptions",
    "WatchState",
    "__version__",
    "export_many",
    "fetch_many",
    "read_accounts",
    "to_arrow",
    "to_polars",
    "write_csv",
    "write_jsonl",
    "write_parquet",
]


if not TYPE_CHECKING:  # with it, type checkers would believe in any name

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
