"""Run the doctor's checks in order. Each check sends the requests that it needs, and returns a finding."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Final

from attrs import evolve

from plugchat_async._http.options import RequestSettings
from plugchat_async._http.proxy import Proxies
from plugchat_async._http.request import RequestTemplate
from plugchat_async._http.secret import Secret
from plugchat_async._http.transport import Transport
from plugchat_async._http.urls import DOCUMENTED_ORIGINS
from plugchat_async.doctor.check_order import check_latency, check_rate_limit
from plugchat_async.doctor.check_phone import check_answer, check_phone
from plugchat_async.doctor.check_proxy import check_proxy
from plugchat_async.doctor.findings import (
    Check,
    Fact,
    Finding,
    Report,
    Value,
    category_of,
    failed,
    failed_by,
    ok,
    skipped,
    warning,
)
from plugchat_async.doctor.network import Host, check_dns, check_tls
from plugchat_async.doctor.paging_prober import PagingProber
from plugchat_async.doctor.prober import SAMPLE_SIZE, Prober, ProbeResult, StatusResult, StoppedError, describe
from plugchat_async.errors import AuthenticationError, MethodNotAllowedError, PlugChatError
from plugchat_async.session import TOKEN_VARIABLE

OnFinding = Callable[[Finding], object]

# Statuses of an address where the call does not exist or does not work.
_NOT_THERE: Final = frozenset({404, 408, 425, *range(300, 400), *range(500, 600)})


class CheckRunner:
    """Runs the checks, one method for each. The same page is not requested twice.

    Args:
        options: The settings of the requests.
        transport: A transport, open when it runs.
        proxies: The proxies of the transport.
        token: The token, or the error if it is not valid.
        base_url: The base URL, or the error if it is not valid.
        quotes: Whether findings may quote the server's texts.
    """

    def __init__(
        self,
        options: RequestSettings,
        transport: Transport,
        proxies: Proxies,
        token: Secret | PlugChatError,
        base_url: str | PlugChatError,
        *,
        quotes: bool,
    ) -> None:
        self._options = options
        self._proxies = proxies
        self._token = token
        self._base_url = base_url
        # Without a valid token no request is sent, so the placeholder never leaves.
        known = token if isinstance(token, Secret) else Secret("-")
        self._prober = Prober(transport, known, options.timeout, options.clock, quotes)
        self._hosts: list[Host] = []
        # The reason why the remaining requests are useless, "" while they are not.
        self._blocked = ""
        self._is_not_a_list = False
        self._through_proxy = False
        # The request in the vendor's form, and in the form that the server accepts.
        self._documented = self._accepted = RequestTemplate("", bare=True)

    async def run(self, on_finding: OnFinding | None) -> Report:
        """Run all checks, and call `on_finding` after each one."""
        monotonic = self._options.clock.monotonic
        started = monotonic()
        findings: list[Finding] = []
        async with aclosing(self._findings()) as found:
            async for finding in found:
                findings.append(self._without_token(finding))
                if on_finding is not None:
                    on_finding(findings[-1])
        base_url = self._accepted.base_url or (self._base_url if isinstance(self._base_url, str) else None)
        return Report(
            tuple(findings),
            None if base_url is None else self._redact(base_url),
            self._prober.sent,
            monotonic() - started,
        )

    async def _findings(self) -> AsyncGenerator[Finding, None]:
        yield self._check_token()
        yield self._check_base_url()
        yield self._check_proxy()
        for check in (self._check_dns, self._check_tls):
            for finding in await check():
                yield finding
        requesting: tuple[tuple[Check, Callable[[], Awaitable[Finding]]], ...] = (
            ("host", self._check_host),
            ("authorization", self._check_authorization),
            ("method", self._check_method),
            ("content_type", self._check_content_type),
            ("no_content_type", self._check_no_content_type),
            ("answer", self._check_answer),
        )
        for name, check_by_request in requesting:
            yield await self._run_or_skip(name, check_by_request, blocked=self._blocked)
        paging = PagingProber(self._prober, self._accepted)
        for name, check_by_request in paging.request_checks():
            yield await self._run_or_skip(name, check_by_request, blocked=self._blocked)
        # A disconnected phone may be the reason why the answer is not a list.
        yield await self._run_or_skip("phone", self._check_phone, blocked="" if self._is_not_a_list else self._blocked)
        has_rows = any(result.length for result in self._prober.results)
        no_rows_because = self._blocked or ("" if has_rows else self._prober.stopped)
        for name, check_rows in paging.result_checks():
            yield skipped(name, no_rows_because) if no_rows_because else check_rows()
        yield check_latency(self._prober.results, self._options.timeout)
        yield check_rate_limit(self._prober.results)

    async def _run_or_skip(self, check: Check, run: Callable[[], Awaitable[Finding]], *, blocked: str) -> Finding:
        """Run a check that sends requests. Skip it if `blocked` is a reason, or if no more requests are sent."""
        if blocked:
            return skipped(check, blocked)
        try:
            return await run()
        except StoppedError:
            return skipped(check, self._prober.stopped)

    def _redact(self, text: str) -> str:
        return self._token.redact(text) if isinstance(self._token, Secret) else text

    def _without_token(self, finding: Finding) -> Finding:
        """Remove the token from a finding: a server may echo it, or the base URL contain it."""
        facts = tuple(Fact(fact.name, self._clean(fact.value)) for fact in finding.facts)
        return evolve(finding, found=self._redact(finding.found), advice=self._redact(finding.advice), facts=facts)

    def _clean(self, value: Value) -> Value:
        if isinstance(value, str):
            return self._redact(value)
        return tuple(map(self._redact, value)) if isinstance(value, tuple) else value

    def _check_token(self) -> Finding:
        problem = self._token
        if isinstance(problem, Secret):
            return ok("token", "it can be sent")
        return failed(
            "token",
            problem.message,
            f"{problem.hint} The command reads it from {TOKEN_VARIABLE}.",
            "configuration",
        )

    def _check_base_url(self) -> Finding:
        base_url = self._base_url
        if isinstance(base_url, PlugChatError):
            self._blocked = "there is no host to send requests to"
            return failed_by("base_url", base_url)
        is_documented = base_url in DOCUMENTED_ORIGINS
        urls = DOCUMENTED_ORIGINS if is_documented else (base_url,)
        self._hosts = [Host.of(url) for url in sorted(urls, key=base_url.__ne__)]  # the given one first
        return ok("base_url", f"{base_url}, one of the two documented hosts" if is_documented else base_url)

    def _check_proxy(self) -> Finding:
        if not isinstance(self._base_url, str):
            return skipped("proxy", self._blocked)
        finding = check_proxy(self._base_url, self._proxies, is_given=self._options.proxy is not None)
        self._through_proxy = finding.fact("used") is True
        return finding

    async def _check_dns(self) -> list[Finding]:
        return await self._for_each_host("dns", partial(check_dns, timeout=self._options.timeout))

    async def _check_tls(self) -> list[Finding]:
        check_host = partial(
            check_tls,
            context=self._options.ssl_context or ssl.create_default_context(),
            timeout=self._options.timeout,
            now=self._options.clock.time(),
        )
        return await self._for_each_host("tls", check_host)

    async def _for_each_host(self, check: Check, check_host: Callable[[Host], Awaitable[Finding]]) -> list[Finding]:
        """Check each host. Those that can't be reached get no requests."""
        if self._blocked:
            return [skipped(check, self._blocked)]
        if self._through_proxy:
            return [skipped(check, "requests go through a proxy, which connects to the host")]
        findings = [await check_host(host) for host in self._hosts]
        self._hosts = [host for host, found in zip(self._hosts, findings, strict=True) if found.status != "failed"]
        if not self._hosts:
            self._blocked = "the host can't be reached"
            return findings
        # The other documented host is not needed.
        return [
            warning(check, found.found, "You did not ask for that host.", **{f.name: f.value for f in found.facts})
            if found.status == "failed" and found.fact("host") != Host.of(str(self._base_url)).name
            else found
            for found in findings
        ]

    async def _check_host(self) -> Finding:
        given = str(self._base_url)
        if not isinstance(self._token, Secret):
            self._blocked = "there is no valid token"
            return skipped("host", self._blocked)
        results: dict[str, ProbeResult] = {}
        for host in self._hosts:  # the given one is the first
            if not self._prober.stopped:
                template = RequestTemplate(host.base_url, bare=True)
                results[host.base_url] = await self._prober.send(template, 1, SAMPLE_SIZE)
        answering = tuple(url for url, result in results.items() if result.error is None)
        use = next(iter((*answering, *results)))
        self._documented = self._accepted = RequestTemplate(use, bare=True)
        found = "; ".join(f"{url}: {_describe_host(result)}" for url, result in results.items())
        error = results[use].error
        if error is not None and (results[use].status is None or results[use].status in _NOT_THERE):
            self._blocked = "the host does not answer the call"
            return failed("host", found, error.hint, category_of(error), answering=answering, use=use)
        if use == given or not answering:
            return ok("host", found, answering=answering, use=use)
        refused = results[given].error if given in results else None
        advice = f"Use {use} as base_url."
        if isinstance(refused, MethodNotAllowedError):
            advice += " Sessions switch to it automatically, but try the other one first."
            return warning("host", found, advice, answering=answering, use=use)
        category = "service" if refused is None else category_of(refused)
        return failed("host", found, advice, category, answering=answering, use=use)

    async def _ask_sample(self) -> ProbeResult:
        return await self._prober.ask(self._accepted, 1, SAMPLE_SIZE)

    async def _ask_without_type(self) -> ProbeResult:
        return await self._prober.ask(evolve(self._documented, content_type=None), 1, SAMPLE_SIZE)

    async def _check_authorization(self) -> Finding:
        # A server that refuses the Content-Type may accept the request without it.
        if (await self._ask_sample()).status == 415 and (await self._ask_without_type()).status not in (415, None):
            self._accepted = evolve(self._documented, content_type=None)
        result = await self._ask_sample()
        if isinstance(result.error, AuthenticationError):
            self._blocked = "the token is not accepted"
            return failed_by("authorization", result.error, status=result.status)
        if result.error is None:
            return ok("authorization", "the token is accepted", status=result.status)
        return skipped("authorization", f"HTTP {result.status} does not depend on the token")

    async def _check_method(self) -> Finding:
        result = await self._ask_sample()
        if isinstance(result.error, MethodNotAllowedError):
            self._blocked = "GET is not accepted"
            return failed_by("method", result.error, allow=result.error.allow)
        return ok("method", "GET is accepted", allow=None)

    async def _check_content_type(self) -> Finding:
        result = await self._prober.ask(self._documented, 1, SAMPLE_SIZE)
        sent = f"Content-Type: {self._documented.content_type}"
        if result.error is None:
            return ok("content_type", f"a request with {sent} is accepted", accepted=True)
        if result.status != 415:
            return skipped("content_type", f"HTTP {result.status} does not depend on it")
        if self._accepted.content_type is None:
            return warning(
                "content_type",
                f"a request with {sent}, as documented, is refused: HTTP 415",
                "Sessions then omit it automatically, after one refused request each. With repair=False they fail.",
                accepted=False,
            )
        self._blocked = "the request is refused with and without Content-Type"
        return failed_by("content_type", result.error, accepted=False)

    async def _check_no_content_type(self) -> Finding:
        result = await self._ask_without_type()
        if result.error is None:
            return ok("no_content_type", "a request without Content-Type is accepted, too", accepted=True)
        if result.status == 415:
            return ok(
                "no_content_type",
                "a request without Content-Type is refused, as documented: HTTP 415",
                "Sessions always send it. Check that no proxy or injected client session removes it.",
                accepted=False,
            )
        return ok("no_content_type", f"without Content-Type: {describe(result)}", accepted=False)

    async def _check_answer(self) -> Finding:
        result = await self._ask_sample()
        if result.error is not None:
            self._blocked = "the answer is not a list of chats"
            self._is_not_a_list = True
            return failed_by("answer", result.error, chats=None, rows=None)
        status: StatusResult | None = None
        if not result.length:
            with suppress(StoppedError):
                status = await self._prober.ask_status(self._accepted)
        return check_answer(result, status)

    async def _check_phone(self) -> Finding:
        status = await self._prober.ask_status(self._accepted)
        return check_phone(status, has_rows=any(result.length for result in self._prober.results))


def _describe_host(result: ProbeResult) -> str:
    """Describe a host's answer. Other checks explain refusals such as 401, so here the status is enough."""
    return describe(result) if result.status in {None, 200} | _NOT_THERE else f"HTTP {result.status}"
