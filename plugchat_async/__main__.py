"""The `plugchat` command, also as `python -m plugchat_async`."""

import sys


def main() -> None:
    """Run the command line and exit with its code. Without the `cli` extra, say how to install it."""
    try:
        from plugchat_async.cli import run  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as missing:
        if missing.name not in ("cyclopts", "rich"):
            raise
        sys.exit("plugchat: the command line needs the extra 'cli': pip install 'plugchat-async[cli]'")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
