"""Async SDK for the Plug Chat WhatsApp gateway: every chat of an account, typed, and errors that help."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plugchat_async._commons import SessionOptions
    from plugchat_async._crew import AccountResult
    from plugchat_async._driver import ChatsOptions
    from plugchat_async._evidence import Attempt, Problem
    from plugchat_async._exchange import TimeSource
    from plugchat_async._people import merge_people
    from plugchat_async._retry import RetryPolicy
    from plugchat_async._wire import __version__
    from plugchat_async.accounts import Account, read_accounts
    from plugchat_async.bulk import BulkOptions, fetch_many
    from plugchat_async.bulk_export import AccountExport, ExportSummary, export_many
    from plugchat_async.errors import (
        AccessDeniedError,
        AuthenticationError,
        ConfigurationError,
        ConnectionFailedError,
        ConsistencyError,
        DecodeError,
        InvalidTypeError,
        InvalidValueError,
        MethodNotAllowedError,
        MissingExtraError,
        NotAListError,
        NotConnectedError,
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
    from plugchat_async.export import read_jsonl, to_arrow, to_polars, write_csv, write_jsonl, write_parquet
    from plugchat_async.models import (
        FOREVER,
        AccountStatus,
        Chat,
        ChatAdded,
        ChatChanged,
        ChatEvent,
        ChatKind,
        ChatRemoved,
        Page,
        WalkReport,
    )
    from plugchat_async.session import PlugChatSession
    from plugchat_async.watch import Outage, WatchOptions, WatchState

    from . import accounts as accounts
    from . import bulk as bulk
    from . import bulk_export as bulk_export
    from . import converter as converter
    from . import doctor as doctor
    from . import errors as errors
    from . import export as export
    from . import integrations as integrations
    from . import models as models
    from . import session as session
    from . import testing as testing
    from . import watch as watch

__all__ = [
    "FOREVER",
    "AccessDeniedError",
    "Account",
    "AccountExport",
    "AccountResult",
    "AccountStatus",
    "Attempt",
    "AuthenticationError",
    "BulkOptions",
    "Chat",
    "ChatAdded",
    "ChatChanged",
    "ChatEvent",
    "ChatKind",
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
    "MissingExtraError",
    "NotAListError",
    "NotConnectedError",
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
    "merge_people",
    "read_accounts",
    "read_jsonl",
    "to_arrow",
    "to_polars",
    "write_csv",
    "write_jsonl",
    "write_parquet",
]

# Importing the package loads none of it: a name's module is loaded when the name is asked for (PEP 562). For pytest
# imports the package in every project where its plugin is installed, and a program with one account does not need what
# is there for many.
_NAMES = {
    "_commons": ("SessionOptions",),
    "_crew": ("AccountResult",),
    "_driver": ("ChatsOptions",),
    "_evidence": ("Attempt", "Problem"),
    "_exchange": ("TimeSource",),
    "_people": ("merge_people",),
    "_retry": ("RetryPolicy",),
    "_wire": ("__version__",),
    "accounts": ("Account", "read_accounts"),
    "bulk": ("BulkOptions", "fetch_many"),
    "bulk_export": ("AccountExport", "ExportSummary", "export_many"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "export": ("read_jsonl", "to_arrow", "to_polars", "write_csv", "write_jsonl", "write_parquet"),
    "models": (
        *("FOREVER", "AccountStatus", "Chat", "ChatAdded", "ChatChanged", "ChatEvent", "ChatKind", "ChatRemoved"),
        *("Page", "WalkReport"),
    ),
    "session": ("PlugChatSession",),
    "watch": ("Outage", "WatchOptions", "WatchState"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
# As attributes after `import plugchat_async`, too.
_MODULES = frozenset(
    {
        "accounts",
        "bulk",
        "bulk_export",
        "converter",
        "doctor",
        "errors",
        "export",
        "integrations",
        "models",
        "session",
        "testing",
        "watch",
    }
)


if not TYPE_CHECKING:  # with it, type checkers would believe in any name

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # Kept here, so that this is done once for each name.
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_MODULES})
