"""The order of the doctor's checks: each asks for what it needs, and says what it found."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Final

from attrs import evolve

from plugchat_async._http.request import RequestTemplate
from plugchat_async._http.resources import RequestOptions
from plugchat_async._http.secret import Secret
from plugchat_async._http.transport import Transport
from plugchat_async._http.urls import DOCUMENTED_ORIGINS
from plugchat_async.doctor.check_chats import judge_latency, judge_rate_limit
from plugchat_async.doctor.check_phone import judge_answer, judge_phone
from plugchat_async.doctor.findings import (
    Check,
    Fact,
    Finding,
    Report,
    Value,
    blame_of,
    failed,
    failed_by,
    ok,
    skipped,
    warning,
)
from plugchat_async.doctor.network import Host, look_up, shake_hands
from plugchat_async.doctor.paging import Paging
from plugchat_async.doctor.probe import SAMPLE, Answer, Prober, StatusAnswer, StoppedError, outcome
from plugchat_async.errors import AuthenticationError, MethodNotAllowedError, PlugChatError
from plugchat_async.session import TOKEN_VARIABLE

OnFinding = Callable[[Finding], object]

# What says that at that address there is something else than the call, or nothing that works.
_NOT_THERE: Final = frozenset({404, 408, 425, *range(300, 400), *range(500, 600)})


class CheckRunner:
    """Makes the checks, a method for each. What was asked for once is not asked for again.

    token, where: what was given, or what is wrong with it. quotes: whether findings may quote the server.
    """

    def __init__(
        self,
        options: RequestOptions,
        transport: Transport,
        token: Secret | PlugChatError,
        where: str | PlugChatError,
        *,
        quotes: bool,
    ) -> None:
        self._options = options
        self._token = token
        self._where = where
        # The secret that is nobody's is never sent.
        known = token if isinstance(token, Secret) else Secret("-")
        self._prober = Prober(transport, known, options.timeout, options.clock, quotes)
        self._hosts: list[Host] = []
        # Why nothing more can be found out by asking.
        self._blocked = ""
        self._has_no_list = False
        # What is asked, in the vendor's form and in the form that the server takes.
        self._documented = self._shape = RequestTemplate("", bare=True)

    async def run(self, on_finding: OnFinding | None) -> Report:
        """Make them all, and tell of each finding as it is made."""
        monotonic = self._options.clock.monotonic
        started = monotonic()
        findings: list[Finding] = []
        async with aclosing(self._findings()) as made:
            async for finding in made:
                findings.append(self._without_token(finding))
                if on_finding is not None:
                    on_finding(findings[-1])
        base_url = self._shape.base_url or (self._where if isinstance(self._where, str) else None)
        return Report(
            tuple(findings),
            None if base_url is None else self._redact(base_url),
            self._prober.sent,
            monotonic() - started,
        )

    async def _findings(self) -> AsyncGenerator[Finding, None]:
        yield self._check_token()
        yield self._check_base_url()
        for check in (self._dns, self._tls):
            for finding in await check():
                yield finding
        asking: tuple[tuple[Check, Callable[[], Awaitable[Finding]]], ...] = (
            ("host", self._host),
            ("authorization", self._authorization),
            ("method", self._method),
            ("content_type", self._content_type),
            ("no_content_type", self._no_content_type),
            ("answer", self._answer),
        )
        for name, ask in asking:
            yield await self._asked(name, ask, blocked=self._blocked)
        paging = Paging(self._prober, self._shape)
        for name, ask in paging.checks():
            yield await self._asked(name, ask, blocked=self._blocked)
        # That there is no list may be because of the phone.
        yield await self._asked("phone", self._phone, blocked="" if self._has_no_list else self._blocked)
        seen = any(answer.length for answer in self._prober.answers)
        nothing = self._blocked or ("" if seen else self._prober.stopped)
        for name, look in paging.max_polls():
            yield skipped(name, nothing) if nothing else look()
        yield judge_latency(self._prober.answers, self._options.timeout)
        yield judge_rate_limit(self._prober.answers)

    async def _asked(self, check: Check, ask: Callable[[], Awaitable[Finding]], *, blocked: str) -> Finding:
        """Return what a check finds by asking, unless nothing can be found (`blocked` says why), or asked, any more."""
        if blocked:
            return skipped(check, blocked)
        try:
            return await ask()
        except StoppedError:
            return skipped(check, self._prober.stopped)

    def _redact(self, text: str) -> str:
        return self._token.redact(text) if isinstance(self._token, Secret) else text

    def _without_token(self, finding: Finding) -> Finding:
        """Take the token out of whatever a server, or a base URL, has put into a finding."""
        facts = tuple(Fact(fact.name, self._clean(fact.value)) for fact in finding.facts)
        return evolve(finding, found=self._redact(finding.found), advice=self._redact(finding.advice), facts=facts)

    def _clean(self, value: Value) -> Value:
        if isinstance(value, str):
            return self._redact(value)
        return tuple(map(self._redact, value)) if isinstance(value, tuple) else value

    def _check_token(self) -> Finding:
        problem = self._token
        if isinstance(problem, Secret):
            return ok("token", "it has the shape of one")
        return failed(
            "token", problem.message, f"{problem.hint} The command takes it from {TOKEN_VARIABLE}.", "configuration"
        )

    def _check_base_url(self) -> Finding:
        where = self._where
        if isinstance(where, PlugChatError):
            self._blocked = "there is no host to ask"
            return failed_by("base_url", where)
        both = where in DOCUMENTED_ORIGINS
        self._hosts = [Host.of(url) for url in sorted(DOCUMENTED_ORIGINS if both else (where,), key=where.__ne__)]
        return ok("base_url", f"{where}, one of the two that are documented" if both else where)

    async def _dns(self) -> list[Finding]:
        return await self._each_host("dns", partial(look_up, seconds=self._options.timeout))

    async def _tls(self) -> list[Finding]:
        shake = partial(
            shake_hands,
            context=self._options.ssl_context or ssl.create_default_context(),
            seconds=self._options.timeout,
            now=self._options.clock.time(),
        )
        return await self._each_host("tls", shake)

    async def _each_host(self, check: Check, look: Callable[[Host], Awaitable[Finding]]) -> list[Finding]:
        """Look at each host. Those that can't be reached are not asked."""
        if self._blocked:
            return [skipped(check, self._blocked)]
        if self._options.proxy is not None:
            return [skipped(check, "requests go through a proxy, which sees to it")]
        findings = [await look(host) for host in self._hosts]
        self._hosts = [host for host, found in zip(self._hosts, findings, strict=True) if found.status != "failed"]
        if not self._hosts:
            self._blocked = "the host can't be reached"
            return findings
        # That the other documented host can't be reached does no harm.
        return [
            warning(check, found.found, "You did not ask for that host.", **{f.name: f.value for f in found.facts})
            if found.status == "failed" and found.fact("host") != Host.of(str(self._where)).name
            else found
            for found in findings
        ]

    async def _host(self) -> Finding:
        given = str(self._where)
        if not isinstance(self._token, Secret):
            self._blocked = "there is no token that could be sent"
            return skipped("host", self._blocked)
        answers: dict[str, Answer] = {}
        for host in self._hosts:  # the one that was given is the first
            if not self._prober.stopped:
                template = RequestTemplate(host.base_url, bare=True)
                answers[host.base_url] = await self._prober.send(template, 1, SAMPLE)
        answering = tuple(url for url, answer in answers.items() if answer.error is None)
        use = next(iter((*answering, *answers)))
        self._documented = self._shape = RequestTemplate(use, bare=True)
        told = "; ".join(f"{url}: {_met(answer)}" for url, answer in answers.items())
        error = answers[use].error
        if error is not None and (answers[use].status is None or answers[use].status in _NOT_THERE):
            self._blocked = "the host does not answer the call"
            return failed("host", told, error.hint, blame_of(error), answering=answering, use=use)
        if use == given or not answering:
            return ok("host", told, answering=answering, use=use)
        refused = answers[given].error if given in answers else None
        advice = f"Make {use} the base_url."
        if isinstance(refused, MethodNotAllowedError):
            advice += " Sessions go there by themselves, but ask the other one first."
            return warning("host", told, advice, answering=answering, use=use)
        blame = "service" if refused is None else blame_of(refused)
        return failed("host", told, advice, blame, answering=answering, use=use)

    async def _sample(self) -> Answer:
        return await self._prober.ask(self._shape, 1, SAMPLE)

    async def _untyped(self) -> Answer:
        return await self._prober.ask(evolve(self._documented, content_type=None), 1, SAMPLE)

    async def _authorization(self) -> Finding:
        # What a server refuses for its Content-Type may be taken without.
        if (await self._sample()).status == 415 and (await self._untyped()).status not in (415, None):
            self._shape = evolve(self._documented, content_type=None)
        answer = await self._sample()
        if isinstance(answer.error, AuthenticationError):
            self._blocked = "the token is not accepted"
            return failed_by("authorization", answer.error, status=answer.status)
        if answer.error is None:
            return ok("authorization", "the token is accepted", status=answer.status)
        return skipped("authorization", f"HTTP {answer.status} says nothing about the token")

    async def _method(self) -> Finding:
        answer = await self._sample()
        if isinstance(answer.error, MethodNotAllowedError):
            self._blocked = "GET is not accepted"
            return failed_by("method", answer.error, allow=answer.error.allow)
        return ok("method", "GET is accepted", allow=None)

    async def _content_type(self) -> Finding:
        answer = await self._prober.ask(self._documented, 1, SAMPLE)
        sent = f"Content-Type: {self._documented.content_type}"
        if answer.error is None:
            return ok("content_type", f"a request with {sent} is answered", accepted=True)
        if answer.status != 415:
            return skipped("content_type", f"HTTP {answer.status} says nothing about it")
        if self._shape.content_type is None:
            return warning(
                "content_type",
                f"a request with {sent}, as documented, is refused: HTTP 415",
                "Sessions then ask without it, by themselves, and remember that: it costs each of them one request. "
                "With repair=False they fail.",
                accepted=False,
            )
        self._blocked = "the request is refused with and without Content-Type"
        return failed_by("content_type", answer.error, accepted=False)

    async def _no_content_type(self) -> Finding:
        answer = await self._untyped()
        if answer.error is None:
            return ok("no_content_type", "a request without Content-Type is answered, too", accepted=True)
        if answer.status == 415:
            return ok(
                "no_content_type",
                "a request without Content-Type is refused, as documented: HTTP 415",
                "Sessions always send it; see to it that no proxy or injected client session takes it off.",
                accepted=False,
            )
        return ok("no_content_type", f"without Content-Type: {outcome(answer)}", accepted=False)

    async def _answer(self) -> Finding:
        answer = await self._sample()
        if answer.error is not None:
            self._blocked = "the answer is not a list of chats"
            self._has_no_list = True
            return failed_by("answer", answer.error, chats=None, rows=None)
        status: StatusAnswer | None = None
        if not answer.length:
            with suppress(StoppedError):
                status = await self._prober.ask_status(self._shape)
        return judge_answer(answer, status)

    async def _phone(self) -> Finding:
        status = await self._prober.ask_status(self._shape)
        return judge_phone(status, has_rows=any(answer.length for answer in self._prober.answers))


def _met(answer: Answer) -> str:
    """Say whom one has met: what an API refuses is another check's."""
    return outcome(answer) if answer.status in {None, 200} | _NOT_THERE else f"HTTP {answer.status}"
