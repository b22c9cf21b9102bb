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
| `answer` | is the answer a list of chats | `chats`, `rows`: how many of the ten that were asked for |
| `page` | is it honoured | `honoured` |
| `first_page` | do pages count from 1 or from 0 | `number`; `page_0`: what page 0 brings |
| `past_end` | are pages past the end empty | `empty` |
| `page_size` | is it honoured, capped or ignored | `largest` that was honoured, `cap`, `fixed` |
| `phone` | is the account connected to WhatsApp | `connected`, `session`, `smartphone_connected`, `error` |
| `times` | in which unit and type are they | `unit`, `type`, `seen`, `missing`, `unreadable` |
| `ids` | which rows have phones and lids | `rows`, `no_phone`, `no_lid`, `no_id`, `phones`, `kinds` |
| `people` | is one person in several rows | `lids`, `repeated`, `rows`, `most`, `phones`, `alike` |
| `keys` | which keys have the rows | `rows`, `known`, `missing`, `unknown`, `other_names` |
| `values` | can all values be read | `problems`, `rows_left_out`, `seen` |
| `order` | is the list sorted by time, newest first | `sorted`, `pinned`: how many chats on top; see below |
| `ties` | have chats the same time | `tied`, `largest` group, `on_borders` of pages, `kept`: their order |
| `duplicates` | is a phone twice in one answer | `phones` |
| `latency` | how long do answers take | `median`, `worst`: seconds; `answers` |
| `rate_limit` | what is seen of limits | `limited` (429), `retry_after`: seconds, `headers` |

A fact is None where it is not known. A check that could not be made is "skipped", and may have no facts but `host`.

What `times` to `ties` say is said of the largest first page. It is shapes and counts, never a value:

- `page_0`: "refused", "empty", "page 1", "another page", or "the first page".
- `error` of `phone`: whether the gateway adds a text about one.
- `unit`: "seconds", "milliseconds", "microseconds", "RFC 3339" or "mixed". `type`: "number", "text" or "mixed".
  `seen`: how many times are in each unit. `missing`: rows without a message yet. `unreadable`: other values.
- `no_phone`, `no_lid`, `no_id`: rows without a phone, a lid, or both. `phones`: how many have which form, such as "13
  digits: 5". `kinds`: how many chats are persons, groups, and so on.
- `lids`: how many there are. `repeated`: how many come in several rows. `rows`: how many rows these have. `most`: the
  most rows of one. `phones`: the most phones of one. `alike`: rows that walks can't tell from another one.
- `known`, `unknown`: keys that `Chat` reads, and others, each with the types of its values, such as "unread: text 9,
  number 1". `missing`: known keys that never come. `other_names`: how many unknown keys are not shown. A name is
  shown if it looks like a programmer's: letters, digits and underscores, 40 at most, no five digits in a row, no
  token.
- `problems`: values that can't be read. `rows_left_out`: rows without an id. `seen`: the kinds of such values, with
  field, expectation, shape and count.
- `pinned_rows`, `archived_rows`, `timeless_rows`: how many there are. `pinned_at`, `archived_at`, `timeless_at`:
  where they stand: "top", "bottom", "top and bottom", "among the others", or "mixed".

At most 16 requests are sent, one after the other, none of them retried or repaired: for the first pages of the list, of
up to 1,000 chats, and one for the account's status. None is sent after a 429. The token goes to the host that is given,
and where that is one of the two documented ones, to both.
"""

import ssl

from plugchat_async._http.resources import RequestOptions
from plugchat_async._http.secret import Secret
from plugchat_async._http.token import token_problem
from plugchat_async._http.transport import Transport
from plugchat_async._http.urls import DEFAULT_BASE_URL, parse_base_url, proxy_problem
from plugchat_async._internal.clock import Clock
from plugchat_async._internal.validation import check_function, check_type
from plugchat_async.doctor.examination import CheckRunner, OnFinding
from plugchat_async.doctor.findings import CHECKS, Category, Check, Fact, Finding, Report, Status, Value
from plugchat_async.doctor.probe import MAX_REQUESTS

__all__ = ["CHECKS", "MAX_REQUESTS", "Category", "Check", "Fact", "Finding", "Report", "Status", "Value", "examine"]


async def examine(
    token: str,
    *,
    base_url: str = DEFAULT_BASE_URL,
    timeout: float = 30.0,  # noqa: ASYNC109 - bounds each step, not all of them
    proxy: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    clock: Clock = Clock(),  # noqa: B008 - frozen
    quotes: bool = True,
    on_finding: OnFinding | None = None,
) -> Report:
    """Make all checks, and give what they have found. What is wrong is a finding, not an error.

    token: the account's raw token. It is in no finding, also where a server echoes it.
    base_url: as for `PlugChatSession` (default https://app.plugchat.com.br).
    timeout: seconds for one request, one look-up of a name, or one TLS handshake (default 30.0).
    proxy, ssl_context, clock: as for `PlugChatSession`. Through a proxy neither names nor certificates are
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
    options = RequestOptions(timeout=timeout, proxy=hidden_proxy, ssl_context=ssl_context, clock=clock)
    transport = Transport(
        borrowed=None,
        proxy=options.proxy,
        ssl_context=options.ssl_context,
        max_response_bytes=options.max_response_bytes,
        keep_headers=True,
    )
    transport.open()
    try:
        return await CheckRunner(options, transport, hidden, where, quotes=quotes).run(on_finding)
    finally:
        await transport.close()
