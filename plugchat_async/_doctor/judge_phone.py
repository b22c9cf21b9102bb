"""Whether the account's phone is connected, and what an empty list then means. Pure: answers -> a finding."""

from typing import Final

from plugchat_async._doctor.findings import Finding, Value, failed, ok, skipped, warning
from plugchat_async._doctor.probe import Answer, StatusAnswer

_RECONNECT: Final = "Connect the phone again in the Plug Chat panel."


def judge_phone(status: StatusAnswer, *, has_rows: bool) -> Finding:
    """Say whether the phone is connected. `has_rows`: whether the list is not empty."""
    facts: dict[str, Value] = {
        "connected": status.connected,
        "session": status.session,
        "smartphone_connected": status.smartphone,
        "error": status.has_text,
    }
    if status.connected is None:
        return skipped("phone", f"the gateway does not tell: {status.told}", **facts)
    said = f"; the gateway says: '{status.said}'" if status.said else ""
    if not status.connected:
        found = f"it is not connected to WhatsApp{said}"
        if has_rows:
            return warning("phone", found, f"{_RECONNECT} Until then the list may stay as it is.", **facts)
        return failed(
            "phone",
            found,
            f"{_RECONNECT} Until then the list comes back empty, and a walk takes that for an account without chats.",
            "service",
            **facts,
        )
    if status.smartphone is False:
        advice = "Switch on the phone, and see to its connection to the internet."
        return warning("phone", "the account is connected to WhatsApp, but the phone is offline", advice, **facts)
    return ok("phone", "it is connected to WhatsApp", "", **facts)


def judge_answer(answer: Answer, status: StatusAnswer | None) -> Finding:
    """Say what a list is that can be read. `status`: of the account, if the list is empty and the gateway tells it."""
    facts: dict[str, Value] = {"chats": len(answer.chats), "rows": answer.length}
    if answer.length and not answer.problem_count:
        return ok("answer", f"it is a list of chats, and all {answer.length} of them can be read", "", **facts)
    if answer.length:
        found = f"it is a list of chats: {len(answer.chats)} of {answer.length} can be read"
        return ok("answer", f"{found}, but for {answer.problem_count} values", "", **facts)
    connected = None if status is None else status.connected
    if connected is None:
        return ok(
            "answer",
            "the list is empty, and whether the phone is connected is not known",
            "If the account has chats, look into the Plug Chat panel: a phone that is not connected has an empty list.",
            **facts,
        )
    if not connected:
        found = "the list is empty, and the phone is not connected: that is no account without chats"
        return warning("answer", found, _RECONNECT, **facts)
    return ok(
        "answer",
        "the list is empty, and the phone is connected: the account has no chats",
        "If the phone was connected only now, its chats come bit by bit: try again in some minutes.",
        **facts,
    )
