"""Messages about arguments of Python functions, in the words of the command line: `--page-size` for page_size. Pure."""

import re
from collections.abc import Collection, Mapping

# Arguments whose options have another name.
_OTHER_NAMES = {"ssl_context": "--ca-file"}


def name_options(
    text: str, options: Collection[str], arguments: Collection[str] = (), variables: Mapping[str, str] | None = None
) -> str:
    """Return a message with the names of options in place of the names of arguments.

    Args:
        text: The message. An argument of one word is renamed only where the message begins with it.
        options: The names of all options.
        arguments: The arguments of the command.
        variables: The environment variables that are set, by the option that each one is read for: such a variable is
            named, unless its option is given.
    """

    def spelled(name: str) -> str | None:
        option = _OTHER_NAMES.get(name, f"--{name.replace('_', '-')}")
        if option not in options:
            return None
        is_given = any(argument.partition("=")[0] == option for argument in arguments)
        return option if is_given else (variables or {}).get(option, option)

    def with_value(found: re.Match[str]) -> str:
        name = spelled(found["name"])
        return found[0] if name is None else f"{name} {found['value']}"

    def alone(found: re.Match[str]) -> str:
        return spelled(found[0]) or found[0]

    text = re.sub(r"""\b(?P<name>[a-z_]+)=["'](?P<value>\w+)["']""", with_value, text)
    text = re.sub(
        r"\b(?P<name>[a-z]+(?:_[a-z]+)+)=True\b(?! in Python)", lambda found: spelled(found["name"]) or found[0], text
    )
    text = re.sub(r"\A[a-z_]+(?= (?:must|does|is|contains|has|cannot|can't)\b)", alone, text)
    text = re.sub(r"\bas `(?P<name>[a-z]+)`", lambda found: f"as {spelled(found['name']) or found[0][3:]}", text)
    # "base_url" in the middle is the column of a file of accounts.
    return re.sub(r"(?<![\w.-])(?!base_url\b)[a-z]+(?:_[a-z]+)+\b(?![=(])", alone, text)
