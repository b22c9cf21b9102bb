"""What the doctor says: a finding for each check, and the checkup that holds them all."""

from typing import Final, Literal, TypeAlias, get_args

from attrs import frozen

from plugchat_async.errors import ConfigurationError, PlugChatError, ServiceError

Check = Literal[
    "token",
    "base_url",
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
# As the errors are split: yours, theirs or the network's, an answer that is not what the vendor promises.
Category = Literal["configuration", "service", "answer"]
Value: TypeAlias = str | int | float | bool | tuple[str, ...] | None

# In the order in which they are made.
CHECKS: Final[tuple[Check, ...]] = get_args(Check)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 row" and "2 rows"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


@frozen
class Fact:
    """One thing that a check has measured. Names and units are those that `plugchat_async.doctor` lists."""

    name: str
    value: Value


@frozen
class Finding:
    """What one check has found.

    check: which one. "dns" and "tls" come once for each host.
    status: "ok"; "warning": walks work, but `advice` makes them better or safer; "failed": they don't, or lose chats;
        "skipped": it could not be told, and `found` says why.
    found: what was seen, in words. advice: what it means for this package's user, and what to do ("" if nothing).
    blame: of a failed check, whose fault it is; else None.
    facts: what was measured, for programs.
    """

    check: Check
    status: Status
    found: str
    advice: str = ""
    blame: Category | None = None
    facts: tuple[Fact, ...] = ()

    def fact(self, name: str) -> Value:
        """Give a fact's value. KeyError if there is no such fact."""
        for fact in self.facts:
            if fact.name == name:
                return fact.value
        raise KeyError(name)


@frozen
class Report:
    """What all checks together have found.

    findings: one for each check, in order.
    base_url: where the list was looked at: as given, or the other documented host if only that one answers; None if
        what was given is no base URL.
    requests: how many were sent. elapsed: seconds that it took.
    """

    findings: tuple[Finding, ...]
    base_url: str | None
    requests: int
    elapsed: float

    @property
    def healthy(self) -> bool:
        """Whether no check has failed."""
        return all(finding.status != "failed" for finding in self.findings)

    def finding(self, check: Check) -> Finding:
        """Give the first finding of a check. KeyError if there is none."""
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(check)


def ok(check: Check, found: str, advice: str = "", **facts: Value) -> Finding:
    """Give the finding that all is well."""
    return Finding(check, "ok", found, advice, None, _facts(facts))


def warning(check: Check, found: str, advice: str, **facts: Value) -> Finding:
    """Give the finding that walks work, but something is to be known."""
    return Finding(check, "warning", found, advice, None, _facts(facts))


def failed(check: Check, found: str, advice: str, blame: Category, **facts: Value) -> Finding:
    """Give the finding that walks don't work, or lose chats."""
    return Finding(check, "failed", found, advice, blame, _facts(facts))


def failed_by(check: Check, error: PlugChatError, **facts: Value) -> Finding:
    """Give the finding that an error makes."""
    return failed(check, error.what_happened, error.hint, blame_of(error), **facts)


def skipped(check: Check, why: str, **facts: Value) -> Finding:
    """Give the finding that nothing could be found."""
    return Finding(check, "skipped", why, "", None, _facts(facts))


def blame_of(error: PlugChatError) -> Category:
    """Say whose fault an error is."""
    match error:
        case ConfigurationError():
            return "configuration"
        case ServiceError():
            return "service"
        case _:
            return "answer"


def _facts(facts: dict[str, Value]) -> tuple[Fact, ...]:
    return tuple(Fact(name, value) for name, value in facts.items())
