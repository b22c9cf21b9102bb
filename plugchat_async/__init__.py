"""Async SDK for the Plug Chat WhatsApp gateway: every chat of an account, typed, and errors that help."""

from plugchat_async._crew import AccountResult
from plugchat_async._evidence import Attempt, Problem
from plugchat_async._exchange import TimeSource
from plugchat_async._retry import RetryPolicy
from plugchat_async._wire import __version__
from plugchat_async.accounts import Account, read_accounts
from plugchat_async.bulk import BulkOptions, fetch_many
from plugchat_async.bulk_export import AccountExport, ExportSummary, export_many
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
    UnexpectedStatusError,
    UnsupportedMediaTypeError,
)
from plugchat_async.export import to_arrow, to_polars, write_csv, write_jsonl, write_parquet
from plugchat_async.models import Chat, Page, WalkReport
from plugchat_async.session import ChatsOptions, PlugChatSession, SessionOptions

__all__ = [
    "Account",
    "AccountExport",
    "AccountResult",
    "Attempt",
    "AuthenticationError",
    "BulkOptions",
    "Chat",
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
    "UnexpectedStatusError",
    "UnsupportedMediaTypeError",
    "WalkReport",
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
