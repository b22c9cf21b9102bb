"""Async SDK for the Plug Chat WhatsApp gateway: every chat of an account, typed, and errors that help."""

# pyright: reportUnusedImport=false

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Type checkers find the modules, and the names of `__all__`, in these.
    from plugchat_async import (
        bulk,
        calls,
        converter,
        doctor,
        errors,
        export,
        integrations,
        models,
        server_traits,
        session,
        testing,
        watch,
    )
    from plugchat_async._error_details import *
    from plugchat_async._http.options import *
    from plugchat_async._http.request import __version__
    from plugchat_async._http.retry import *
    from plugchat_async._internal.clock import *
    from plugchat_async._pagination.chat_walk import *
    from plugchat_async._pagination.options import *
    from plugchat_async.bulk import *
    from plugchat_async.calls import *
    from plugchat_async.errors import *
    from plugchat_async.export import *
    from plugchat_async.models import *
    from plugchat_async.server_traits import *
    from plugchat_async.session import PlugChatSession
    from plugchat_async.watch import *

__all__ = [
    "CHATS",
    "CONTACTS",
    "FOREVER",
    "PENDING_CHATS",
    "AccessDeniedError",
    "Account",
    "AccountExport",
    "AccountResult",
    "AccountStatus",
    "Attempt",
    "AuthenticationError",
    "BulkOptions",
    "Call",
    "Chat",
    "ChatAdded",
    "ChatChanged",
    "ChatEvent",
    "ChatKind",
    "ChatRemoved",
    "ChatWalk",
    "Clock",
    "ConfigurationError",
    "ConnectionFailedError",
    "ConsistencyError",
    "Contact",
    "DecodeError",
    "ExportOptions",
    "ExportSummary",
    "InvalidTypeError",
    "InvalidValueError",
    "ItemList",
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
    "PendingChat",
    "PlugChatError",
    "PlugChatSession",
    "Problem",
    "ProxyAuthenticationError",
    "RateLimitedError",
    "RedirectedError",
    "RequestOptions",
    "RequestTimeoutError",
    "ResponseError",
    "ResponseTooLargeError",
    "RetryPolicy",
    "ServerError",
    "ServerTraits",
    "ServiceError",
    "SessionOptions",
    "SessionStateError",
    "TokenError",
    "UnexpectedStatusError",
    "UnsupportedMediaTypeError",
    "WalkOptions",
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
    "to_pandas",
    "to_polars",
    "write_csv",
    "write_jsonl",
    "write_parquet",
    "write_xlsx",
]

# Importing the package loads none of it: a name's module is loaded when the name is first used (PEP 562). pytest
# imports the package in every project where its plugin is installed, and a program with one account does not need
# what many accounts need.
_NAMES = {
    "_error_details": ("Attempt", "Problem"),
    "_http.options": ("RequestOptions", "SessionOptions"),
    "_http.retry": ("RetryPolicy",),
    "_http.request": ("__version__",),
    "_internal.clock": ("Clock",),
    "_pagination.options": ("WalkOptions",),
    "_pagination.chat_walk": ("ChatWalk",),
    "bulk.accounts": ("Account", "read_accounts"),
    "bulk.fetch": ("BulkOptions", "fetch_many"),
    "bulk.workers": ("AccountResult",),
    "calls": ("CHATS", "CONTACTS", "PENDING_CHATS", "Call", "Contact", "PendingChat"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "export.accounts": ("export_many",),
    "export.people": ("merge_people",),
    "export.results": ("AccountExport", "ExportSummary"),
    "export.run": ("ExportOptions",),
    "export.tables": ("to_arrow", "to_pandas", "to_polars"),
    "export.writers": ("read_jsonl", "write_csv", "write_jsonl", "write_parquet", "write_xlsx"),
    "models": (
        *("FOREVER", "AccountStatus", "Chat", "ChatAdded", "ChatChanged", "ChatEvent", "ChatKind", "ChatRemoved"),
        *("ItemList", "Page", "WalkReport"),
    ),
    "server_traits": ("ServerTraits",),
    "session": ("PlugChatSession",),
    "watch.options": ("Outage", "WatchOptions"),
    "watch.state": ("WatchState",),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
# Attributes after `import plugchat_async`, too.
_MODULES = frozenset(
    (
        *(
            "bulk",
            "calls",
            "converter",
            "doctor",
            "errors",
            "export",
            "integrations",
            "models",
            "server_traits",
            "session",
        ),
        *("testing", "watch"),
    )
)


if not TYPE_CHECKING:  # with it, type checkers would accept any name

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        # Kept here, so that this is done once for each name.
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF, *_MODULES})
