"""Words of the command line: filters of chats, names of options in messages, faults of `simulate`."""

from collections.abc import AsyncGenerator

import pytest

from plugchat_async import Chat, InvalidValueError
from plugchat_async.cli.chat_filter import ChatFilter, filtered
from plugchat_async.cli.fault_option import parse_faults
from plugchat_async.cli.option_names import name_options
from plugchat_async.testing import Fault

ANA = Chat("5511987654321", "Ana João \U0001d4d1\U0001d4f2\U0001d4ea ❤", unread=2, lid="77@lid")
GROUP = Chat("120363-group", "Vendas", is_group=True)
CHANNEL = Chat("120363@newsletter", "Notícias", unread=1)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ana", True),
        ("JOAO", True),
        ("joão", True),
        ("+55 (11) 98765-4321", True),
        ("7654", True),
        ("77@", True),
        ("", True),
        ("bia", True),
        ("❤\ufe0f", True),
        ("eva", False),
        ("1 1", False),
    ],
)
def test_a_text_is_found_as_people_type_it(search: str, found: bool) -> None:
    """In any case, without accents, and in phones that are written with signs; few digits with signs are no phone."""
    assert ChatFilter(search).matches(ANA) is found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ChatFilter(), [ANA, GROUP, CHANNEL]),
        (ChatFilter(unread=True), [ANA, CHANNEL]),
        (ChatFilter(groups=True), [GROUP]),
        (ChatFilter(people=True), [ANA]),
        (ChatFilter(groups=True, people=True), [ANA, GROUP]),
        (ChatFilter(people=True, unread=True, search="eva"), []),
        (ChatFilter(limit=1), [ANA]),
        (ChatFilter(limit=0), []),
    ],
)
async def test_conditions_add_up(wanted: ChatFilter, found: list[Chat]) -> None:
    """All must hold; the limit counts what matches, and no more is read."""

    async def chats() -> AsyncGenerator[Chat, None]:
        for chat in (ANA, GROUP, CHANNEL):
            yield chat

    assert [chat async for chat in filtered(chats(), wanted)] == found
    assert wanted.found == len(found)
    assert wanted.seen == (wanted.limit if wanted.limit is not None else 3)


OPTIONS = {
    "--insecure-http",
    "--page-size",
    "--limit",
    "--base-url",
    "--consistency",
    "--ca-file",
    "--timeout",
    "--account",
}


@pytest.mark.parametrize(
    ("text", "arguments", "shown"),
    [
        ("page_size must be at least 1, got 0", [], "--page-size must be at least 1, got 0"),
        ("limit must be at least 0", [], "--limit must be at least 0"),
        ("the limit of page_size", [], "the limit of --page-size"),
        ("base_url is not a URL", [], "PLUGCHAT_BASE_URL is not a URL"),
        ("base_url is not a URL", ["--base-url=x"], "--base-url is not a URL"),
        ("base_url is not a URL", ["--base-url", "x"], "--base-url is not a URL"),
        ('consistency="plain" proves nothing', [], "--consistency plain proves nothing"),
        ("pass an ssl_context", [], "pass an --ca-file"),
        ("pass insecure_http=True.", [], "pass --insecure-http."),
        ("use --allow-empty (insecure_http=True in Python)", [], "use --allow-empty (insecure_http=True in Python)"),
        ("a.csv: line 2: 'Ana': base_url must be https", [], "a.csv: line 2: 'Ana': base_url must be https"),
        ("page_size=100 is not it", [], "page_size=100 is not it"),
        ("max_pages must be at least 1", [], "max_pages must be at least 1"),
        ("pass a name as `account`, each time", [], "pass a name as --account, each time"),
        ("pass a name as `elsewhere`", [], "pass a name as `elsewhere`"),
        ("a.page_size and account", [], "a.page_size and account"),
    ],
)
def test_messages_name_options(text: str, arguments: list[str], shown: str) -> None:
    """Or the variable that the value came from; other words stay."""
    assert name_options(text, OPTIONS, arguments, {"--base-url": "PLUGCHAT_BASE_URL"}) == shown


def test_faults_of_pages() -> None:
    """Each lasts, unless it says how often it comes."""
    found = parse_faults(["503@page=2", "429@times=2", "hang", "reset@page=3,times=1"])
    assert found == {
        2: [Fault.status(503).always()],
        None: [Fault.status(429), Fault.status(429), Fault.hang().always()],
        3: [Fault.reset()],
    }


@pytest.mark.parametrize(
    "text",
    ["", "99", "nothing", "503@", "503@page", "503@size=2", "503@page=x", "199", "503@times=0", "503@page=2,page=3"],
)
def test_what_is_no_fault(text: str) -> None:
    """The message shows what can be written."""
    with pytest.raises(InvalidValueError, match="is not a fault") as caught:
        parse_faults([text])
    assert "503@page=2" in caught.value.hint


def test_a_fault_that_never_comes() -> None:
    """Behind one that lasts."""
    with pytest.raises(InvalidValueError, match="503@page=2 never happens"):
        parse_faults(["hang@page=2", "503@page=2"])
