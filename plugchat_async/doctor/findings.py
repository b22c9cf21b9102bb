"""The results of the checks: a finding for each one, and the report with all of them."""

from typing import Final, Literal, TypeAlias, get_args

from attrs import frozen

from plugchat_async._internal.html import html_table
from plugchat_async.errors import ConfigurationError, PlugChatError, ServiceError
from plugchat_async.server_traits import ServerTraits

Check = Literal[
    "token",
    "base_url",
    "proxy",
    "dns",
    "tls",
    "host",
    "authorization",
    "method",
    "content_type",
    "no_content_type",
    "answer",
    "page",
    "first_page",
    "past_end",
    "page_size",
    "short_pages",
    "server_traits",
    "phone",
    "times",
    "ids",
    "people",
    "keys",
    "values",
    "order",
    "ties",
    "duplicates",
    "latency",
    "rate_limit",
]
Status = Literal["ok", "warning", "failed", "skipped"]
# The same split as in `errors`: the user's configuration; the service or the network; an unexpected answer.
Category = Literal["configuration", "service", "answer"]
Value: TypeAlias = str | int | float | bool | tuple[str, ...] | None

# In the order in which they are made.
CHECKS: Final[tuple[Check, ...]] = get_args(Check)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 row" and "2 rows"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


@frozen
class Fact:
    """One value that a check measured.

    Attributes:
        name: The fact's name. The table in `plugchat_async.doctor` lists all names with their units.
        value: Its value, None if it is not known.
    """

    name: str
    value: Value


@frozen
class Finding:
    """The result of one check.

    Attributes:
        check: The check's name. "dns" and "tls" appear once for each host.
        status: "ok"; "warning": walks work, but `advice` makes them better or safer; "failed": walks fail, or lose
            chats; "skipped": the check could not be made, and `found` gives the reason.
        found: The observation, in words.
        advice: What to do about it, "" if there is nothing to do.
        category: The kind of failure, if the check failed; else None.
        facts: The measured values, for programs.
    """

    check: Check
    status: Status
    found: str
    advice: str = ""
    category: Category | None = None
    facts: tuple[Fact, ...] = ()

    def fact(self, name: str) -> Value:
        """Return a fact's value.

        Raises:
            KeyError: If there is no such fact.
        """
        for fact in self.facts:
            if fact.name == name:
                return fact.value
        raise KeyError(name)


@frozen
class Report:
    """The results of all checks.

    Attributes:
        findings: The findings, in the order of the checks.
        base_url: The base URL that the list was read from: the given one, or the other documented host if only that
            one answers. None if the given base URL is not valid.
        requests: The number of requests that were sent.
        elapsed: The duration in seconds.
    """

    findings: tuple[Finding, ...]
    base_url: str | None
    requests: int
    elapsed: float

    @property
    def healthy(self) -> bool:
        """Whether no check failed."""
        return all(finding.status != "failed" for finding in self.findings)

    @property
    def server_traits(self) -> ServerTraits:
        """What was learned about the server: pass it as `server_traits=` to sessions and to `fetch_many`."""
        return ServerTraits.from_dict({fact.name: fact.value for fact in self.finding("server_traits").facts})

    def _repr_html_(self) -> str:
        rows = ((found.check, found.status, found.found, found.advice) for found in self.findings)
        return html_table(rows, header=("check", "status", "found", "advice"))

    def finding(self, check: Check) -> Finding:
        """Return the first finding of a check.

        Raises:
            KeyError: If there is none.
        """
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(check)


def ok(check: Check, found: str, advice: str = "", **facts: Value) -> Finding:
    """Return a finding with the status "ok"."""
    return Finding(check, "ok", found, advice, None, _facts(facts))


def warning(check: Check, found: str, advice: str, **facts: Value) -> Finding:
    """Return a finding with the status "warning": walks work, but there is something to know."""
    return Finding(check, "warning", found, advice, None, _facts(facts))


def failed(check: Check, found: str, advice: str, category: Category, **facts: Value) -> Finding:
    """Return a finding with the status "failed": walks fail, or lose chats."""
    return Finding(check, "failed", found, advice, category, _facts(facts))


def failed_by(check: Check, error: PlugChatError, **facts: Value) -> Finding:
    """Return the failed finding for an error."""
    return failed(check, error.what_happened, error.hint, category_of(error), **facts)


def skipped(check: Check, reason: str, **facts: Value) -> Finding:
    """Return a finding with the status "skipped"."""
    return Finding(check, "skipped", reason, "", None, _facts(facts))


def category_of(error: PlugChatError) -> Category:
    """Return the category of an error."""
    match error:
        case ConfigurationError():
            return "configuration"
        case ServiceError():
            return "service"
        case _:
            return "answer"


def _facts(facts: dict[str, Value]) -> tuple[Fact, ...]:
    return tuple(Fact(name, value) for name, value in facts.items())
