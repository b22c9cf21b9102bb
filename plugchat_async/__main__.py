"""The `plugchat` command, also as `python -m plugchat_async`."""

import os
import sys

from plugchat_async.errors import MissingExtraError


def main() -> None:
    """Run the command line and exit with its code. Without the `cli` extra, exit with a hint how to install it."""
    # The parent may have closed these descriptors. A socket that gets one of their numbers would be taken for stdout.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    try:
        if sys.argv[1:] == ["--version"] and _print_version():
            return
        from plugchat_async.cli.app import run  # noqa: PLC0415 - the extra may be missing
        from plugchat_async.cli.signals import end_with  # noqa: PLC0415 - the extra may be missing

        code = run(sys.argv[1:])
        end_with(code)
        sys.exit(code)
    except ModuleNotFoundError as missing:
        if missing.name not in ("cyclopts", "rich"):
            raise
        sys.exit("plugchat: the command line needs the extra 'cli': pip install 'plugchat-async[cli]'")
    except MissingExtraError as missing:  # aiohttp is too old
        sys.exit(f"plugchat: {missing}")
    except KeyboardInterrupt as stop:
        code = getattr(stop, "exit_code", 0)
        if code:  # in the line that says how it ended, which nobody reads: Python would wait for the reader once more
            os._exit(code)
        sys.exit(130)  # while the libraries are loading


def _print_version() -> bool:
    """Print the version, as the full command line does, but without loading it: that takes five times as long.

    A signal ends this as it ends any Python program, also while Python exits: there is nothing to finish or to tell.

    Returns:
        Whether it is printed. If not, the full command line tries again, and says why it can't.
    """
    from plugchat_async._http.request import __version__  # noqa: PLC0415 - only for this

    text = f"{__version__}{os.linesep}".encode()
    try:
        # Not `print`: what can't be written would stay in its buffer, and be printed twice.
        return os.write(1, text) == len(text)
    except OSError:
        return False


if __name__ == "__main__":
    main()
