"""Diagnose the connection between this machine and a Plug Chat account. `plugchat doctor` prints the results.

    report = await examine(token)
    for finding in report.findings:
        print(finding.status, finding.found, finding.advice)
    async with PlugChatSession(token, server_traits=report.server_traits) as plugchat: ...

The checks, in order, with the names of their facts:

| check | question | facts |
|---|---|---|
| `token` | can it be sent | |
| `base_url` | is it valid | |
| `proxy` | which one do requests go through, or is one of the environment not used | `used`; `variable`: its name |
| `dns` | does the host have addresses (once for each host) | `host`, `addresses` |
| `tls` | is its certificate trusted, and for how long (once for each host) | `host`, `version`, `days_left` |
| `host` | which of the documented hosts answers, or does the given one | `answering`, `use`: base URLs |
| `authorization` | is the token accepted (401, 403) | `status` |
| `method` | is GET accepted (405) | `allow`, where it is not |
| `content_type` | is `Content-Type: application/json` accepted (415) | `accepted` |
| `no_content_type` | is a request without it accepted | `accepted` |
| `answer` | is the answer a list of chats | `chats`, `rows`: how many of the ten requested |
| `page` | is it honoured | `honoured` |
| `first_page` | do pages count from 1 or from 0 | `number`; `page_0`: what page 0 returns |
| `past_end` | are pages past the end empty | `empty` |
| `page_size` | is it honoured, capped or ignored | `largest` that was honoured, `cap`, `fixed` |
| `short_pages` | is a page with fewer rows than requested the last one | `end` |
| `server_traits` | what was learned about the server | those of `ServerTraits`, see `Report.server_traits` |
| `phone` | is the account connected to WhatsApp | `connected`, `session`, `smartphone_connected`, `error` |
| `times` | in which unit and type are they | `unit`, `type`, `seen`, `missing`, `unreadable` |
| `ids` | how many rows have phones and lids | `rows`, `no_phone`, `no_lid`, `no_id`, `phones`, `kinds` |
| `people` | does one person have several rows | `lids`, `repeated`, `rows`, `most`, `phones`, `alike` |
| `keys` | which keys do the rows have | `rows`, `known`, `missing`, `unknown`, `other_names` |
| `values` | can all values be read | `problems`, `rows_left_out`, `seen` |
| `order` | is the list sorted by time, newest first | `sorted`, `pinned`: the number of chats on top; see below |
| `ties` | do chats have the same time | `tied`, `largest` group, `on_borders` of pages, `kept`: their order |
| `duplicates` | does one answer contain a phone twice | `phones` |
| `latency` | how long do answers take | `median`, `worst`: seconds; `answers` |
| `rate_limit` | are there signs of a limit | `limited` (429), `retry_after`: seconds, `headers` |

An unknown fact is None. A check that could not be made is "skipped", and may have no facts except `host`.

The facts of `times` to `ties` describe the largest first page, by shapes and counts, never by values:

- `page_0`: "refused", "empty", "page 1", "another page", or "the first page".
- `error` of `phone`: whether the gateway added a text about an error.
- `unit`: "seconds", "milliseconds", "microseconds", "RFC 3339" or "mixed". `type`: "number", "text" or "mixed".
  `seen`: the number of times in each unit. `missing`: rows without a message yet. `unreadable`: other values.
- `no_phone`, `no_lid`, `no_id`: rows without a phone, a lid, or both. `phones`: the number of phones of each form, such
  as "13 digits: 5". `kinds`: the number of chats of each kind, such as persons and groups.
- `lids`: the number of different lids. `repeated`: those that have several rows. `rows`: the rows of these. `most`: the
  most rows of one lid. `phones`: the most phones of one lid. `alike`: rows that are equal to another one.
- `known`, `unknown`: the keys that `Chat` has fields for, and others, each with the types of its values, such as
  "unread: text 9, number 1". `missing`: known keys that no row has. `other_names`: the number of unknown keys that are
  not shown. A name is shown if it looks like an identifier: letters, digits and underscores, at most 40, without five
  digits in a row and without the token.
- `problems`: values that can't be read. `rows_left_out`: rows without an id. `seen`: the kinds of such values, with
  field, expected type, shape and count.
- `pinned_rows`, `archived_rows`, `timeless_rows`: the number of such rows. `pinned_at`, `archived_at`, `timeless_at`:
  their position: "top", "bottom", "top and bottom", "among the others", or "mixed".

At most 16 requests are sent, one after the other, without retries or repairs: for the first pages of the list, of up to
1,000 chats, and one for the account's status. None is sent after a 429. The token is sent to the given host, and if
that is one of the two documented ones, to both.
"""

import ssl
from typing import TYPE_CHECKING, cast

from plugchat_async._http.environment import FromEnvironment, environment_proxies
from plugchat_async._http.options import RequestSettings, Timeout
from plugchat_async._http.proxy import Proxies
from plugchat_async._http.secret import Secret, SecretText, reveal
from plugchat_async._http.token import token_problem
from plugchat_async._http.transport import Transport
from plugchat_async._http.urls import UrlText, parse_base_url, plain_url, proxy_problem
from plugchat_async._internal.clock import Clock
from plugchat_async._internal.validation import check_function, check_type
from plugchat_async.doctor.check_runner import CheckRunner, OnFinding
from plugchat_async.doctor.findings import CHECKS, Category, Check, Fact, Finding, Report, Status, Value
from plugchat_async.doctor.prober import MAX_REQUESTS
from plugchat_async.errors import PlugChatError

if TYPE_CHECKING:
    from yarl import URL

__all__ = ["CHECKS", "MAX_REQUESTS", "Category", "Check", "Fact", "Finding", "Report", "Status", "Value", "examine"]


async def examine(
    token: str | SecretText,
    *,
    base_url: "str | URL | UrlText | None" = None,
    timeout: Timeout = 30.0,  # noqa: ASYNC109 - limits each step, not all of them
    proxy: "str | URL | UrlText | SecretText | None" = None,
    trust_env: bool = False,
    insecure_http: bool = False,
    ssl_context: ssl.SSLContext | None = None,
    clock: Clock = Clock(),  # noqa: B008 - frozen
    quotes: bool = True,
    on_finding: OnFinding | None = None,
) -> Report:
    """Run all checks and return their findings. A problem is a finding, not an error.

    Args:
        token: The account's raw token. It appears in no finding, even if a server echoes it.
        base_url: As for `PlugChatSession`. Default None: that of PLUGCHAT_BASE_URL, or
            https://app.plugchat.com.br.
        timeout: The limit in seconds for one request, one DNS look-up, or one TLS handshake. Default 30.0.
        proxy: As for `PlugChatSession`. With a proxy, DNS and TLS are not checked.
        trust_env: As for `PlugChatSession`. Default False.
        insecure_http: As for `PlugChatSession`. Default False.
        ssl_context: As for `PlugChatSession`.
        clock: As for `PlugChatSession`.
        quotes: Whether findings may quote the server's texts, such as an error message. Default True. If False,
            findings describe the account by shapes and counts only, and can be shown to anybody.
        on_finding: A plain function, called with each Finding when its check is done. An exception that it raises
            ends the examination. Default None.

    Raises:
        InvalidValueError: An argument other than `token` and `base_url` is out of range, or a proxy of the environment
            is not valid. Raised before any I/O.
        InvalidTypeError: Such an argument has the wrong type.
    """
    # Delete locals that may contain secrets: tracebacks can show the locals of this frame.
    given, through = reveal(token), plain_url(reveal(proxy))
    problem = token_problem(given)
    checked_token = problem or Secret(str.__str__(cast("str", given)))
    url, name = FromEnvironment().base_url() if base_url is None else (base_url, "base_url")
    checked_base_url, problem = parse_base_url(url, name=name, insecure_http=insecure_http), proxy_problem(through)
    secret_proxy = None if through is None else Secret(str(through))
    del token, given, base_url, url, proxy, through
    if problem is not None:
        raise problem
    check_type("trust_env", trust_env, bool)
    check_type("insecure_http", insecure_http, bool)
    use_environment = trust_env and secret_proxy is None
    environment = environment_proxies(insecure_http=insecure_http) if use_environment else None
    if isinstance(environment, PlugChatError):
        raise environment
    check_type("quotes", quotes, bool)
    check_function("on_finding", on_finding, "a Finding")
    options = RequestSettings(timeout=timeout, proxy=secret_proxy, ssl_context=ssl_context, clock=clock)
    proxies = Proxies(options.proxy, environment)
    transport = Transport(
        borrowed=None,
        proxies=proxies,
        ssl_context=options.ssl_context,
        max_response_bytes=options.max_response_bytes,
        keep_headers=True,
    )
    runner = CheckRunner(options, transport, proxies, checked_token, checked_base_url, quotes=quotes)
    transport.open()
    try:
        return await runner.run(on_finding)
    finally:
        await transport.close()
