"""Write chats to files (JSON lines, CSV, Parquet, xlsx) and tables; export many accounts to a folder.

The columns, in this order. Files with several accounts have a column `account`, the account's name, before them.

    phone              text or null; if it is null, there is a lid
    name               text or null
    unread             integer, in Parquet and Arrow of 64 bits
    last_message_time  time in UTC or null; in Parquet and Arrow of microseconds, in text RFC 3339: 2021-06-06T15:01:27Z
    is_muted           boolean
    is_marked_spam     boolean
    profile_thumbnail  text or null
    messages_unread    integer or null, as `unread`
    lid                text or null
    is_pinned, is_archived, is_group, is_group_announcement
                       boolean or null
    muted_until        time in UTC or null, as `last_message_time`; 9999-12-31T23:59:59.999999Z: forever

In CSV null is an empty cell, and a cell that a spreadsheet could evaluate as a formula starts with an apostrophe.
Text is in UTF-8. A file appears complete or not at all, even if the process is killed: it is written under a hidden
name in the same folder, or in `.plugchat/` of an export's folder, and renamed at the end.
"""

from typing import TYPE_CHECKING

from plugchat_async._internal.lazy import lazy_names

if TYPE_CHECKING:
    from plugchat_async.export.accounts import export_many
    from plugchat_async.export.csv_and_json import CsvDialect
    from plugchat_async.export.people import merge_people
    from plugchat_async.export.results import AccountExport, ExportSummary
    from plugchat_async.export.run import ExportOptions
    from plugchat_async.export.tables import to_arrow, to_pandas, to_polars
    from plugchat_async.export.writers import (
        FileFormat,
        read_jsonl,
        write_csv,
        write_jsonl,
        write_parquet,
        write_xlsx,
    )

__all__ = [
    "AccountExport",
    "CsvDialect",
    "ExportOptions",
    "ExportSummary",
    "FileFormat",
    "export_many",
    "merge_people",
    "read_jsonl",
    "to_arrow",
    "to_pandas",
    "to_polars",
    "write_csv",
    "write_jsonl",
    "write_parquet",
    "write_xlsx",
]

# `export_many` needs aiohttp, which takes a fifth of a second to import; writing chats to a file does not.
if not TYPE_CHECKING:  # with it, type checkers would accept any name
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "accounts": ("export_many",),
            "results": ("AccountExport", "ExportSummary"),
            "run": ("ExportOptions",),
            "people": ("merge_people",),
            "csv_and_json": ("CsvDialect",),
            "tables": ("to_arrow", "to_pandas", "to_polars"),
            "writers": ("FileFormat", "read_jsonl", "write_csv", "write_jsonl", "write_parquet", "write_xlsx"),
        },
    )
