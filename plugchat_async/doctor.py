"""What is wrong between this machine and a Plug Chat account, and what to do about it: `plugchat doctor`'s checks.

    checkup = await examine(token)
    for finding in checkup.findings:
        print(finding.status, finding.found, finding.advice)

The checks, in order, with what their findings' facts are called:

| check | asks | facts |
|---|---|---|
| `token` | can it be sent at all | |
| `base_url` | is it one | |
| `dns` | has the host addresses (once for each host) | `host`, `addresses` |
| `tls` | is its certificate trusted, and for how long (once for each host) | `host`, `version`, `days_left` |
| `host` | which of the documented hosts answers, or the one that was given | `answering`, `use`: base URLs |
| `authorization` | is the token accepted (401, 403) | `status` |
| `method` | is GET accepted (405) | `allow`, where it is not |
| `content_type` | is `Content-Type: application/json` accepted (415) | `accepted` |
| `no_content_type` | is a request without it | `accepted` |
| `answer` | is what comes a list of chats | `chats`: how many of the ten that were asked for |
| `page` | is it honoured | `honoured` |
| `first_page` | do pages count from 1 or from 0 | `number` |
| `past_end` | are pages past the end empty | `empty` |
| `page_size` | is it honoured, capped or ignored | `largest` that was honoured, `cap`, `fixed` |
| `order` | is the list sorted by time, newest first | `sorted`, `pinned`: how many chats on top |
| `ties` | have chats the same time | `tied`, `largest` group, `on_borders` of pages, `kept`: their order |
| `duplicates` | is a phone twice in one answer | `phones` |
| `latency` | how long do answers take | `median`, `worst`: seconds; `answers` |
| `rate_limit` | what is seen of limits | `limited` (429), `retry_after`: seconds, `headers` |

A fact is None where it is not known. A check that could not be made is "skipped", and has no facts but `host`. At most
16 requests are sent, one after the other, none of them retried or repaired, for the first pages of the list, of up to
1,000 chats; none after a 429. The token goes to the host that is given, and where that is one of the two documented
ones, to both.
"""

import ssl

from plugchat_async._arguments import check_function, check_type
from plugchat_async._commons import RequestOptions
from plugchat_async._doctor.examination import Examination, OnFinding
from plugchat_async._doctor.findings import CHECKS, Blame, Check, Checkup, Fact, Finding, Status, Value
from plugchat_async._doctor.probe import MOST_REQUESTS
from plugchat_async._exchange import TimeSource
from plugchat_async._secret import Secret
from plugchat_async._transport import Transport
from plugchat_async._wire import DEFAULT_BASE_URL, parse_base_url, proxy_problem, token_problem

__all__ = ["CHECKS", "MOST_REQUESTS", "Blame", "Check", "Checkup", "Fact", "Finding", "Status", "Value", "examine"]


async def examine(
    token: str,
    *,
    base_url: str = DEFAULT_BASE_URL,
    timeout: float = 30.0,  # noqa: ASYNC109 - bounds each step, not all of them
    proxy: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    time_source: TimeSource = TimeSource(),  # noqa: B008 - frozen
    quotes: bool = True,
    on_finding: OnFinding | None = None,
) -> Checkup:
    """Make all checks, and give what they have found. What is wrong is a finding, not an error.

    token: the account's raw token. It is in no finding, also where a server echoes it.
    base_url: as for `PlugChatSession` (default https://app.plugchat.com.br).
    timeout: seconds for one request, one look-up of a name, or one TLS handshake (default 30.0).
    proxy, ssl_context, time_source: as for `PlugChatSession`. Through a proxy neither names nor certificates are
        looked at; requests go through it.
    quotes: whether findings may quote what the server says, such as the text of an error (default True). If False, they
        hold nothing of an account but shapes and counts, and can be shown to anybody.
    on_finding: a plain function, called with each Finding as it is made (default None). What it raises ends it.

    InvalidValueError and InvalidTypeError name a wrong argument other than `token` and `base_url`, before any I/O.
    """
    # What may be a secret is no local of this frame any more when something is raised.
    problem = token_problem(token)
    hidden = problem or Secret(str.__str__(token))
    where, wrong = parse_base_url(base_url), proxy_problem(proxy)
    hidden_proxy = None if proxy is None else Secret(proxy)
    del token, base_url, proxy
    if wrong is not None:
        raise wrong
    check_type("quotes", quotes, bool)
    check_function("on_finding", on_finding, "a Finding")
    options = RequestOptions(timeout=timeout, proxy=hidden_proxy, ssl_context=ssl_context, time_source=time_source)
    transport = Transport(
        borrowed=None,
        proxy=options.proxy,
        ssl_context=options.ssl_context,
        max_response_bytes=options.max_response_bytes,
        keep_headers=True,
    )
    transport.open()
    try:
        return await Examination(options, transport, hidden, where, quotes=quotes).run(on_finding)
    finally:
        await transport.close()
