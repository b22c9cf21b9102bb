"""Whether the account's phone is connected, and what an empty list then means. Pure: answers -> a finding."""

from typing import Final

from plugchat_async.doctor.findings import Finding, Value, counted, failed, ok, skipped, warning
from plugchat_async.doctor.probe import Answer, StatusAnswer

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
        return skipped("phone", f"the gateway does not say: {status.told}", **facts)
    said = f"; the gateway says: '{status.said}'" if status.said else ""
    if not status.connected:
        found = f"it is not connected to WhatsApp{said}"
        if has_rows:
            return warning("phone", found, f"{_RECONNECT} Until then the list may stay as it is.", **facts)
        return failed(
            "phone",
            found,
            f"{_RECONNECT} Until then the list is empty, and a walk finds no chats.",
            "service",
            **facts,
        )
    if status.smartphone is False:
        advice = "Switch on the phone, and check its internet connection."
        return warning("phone", "the account is connected to WhatsApp, but the phone is offline", advice, **facts)
    return ok("phone", "it is connected to WhatsApp", "", **facts)


def judge_answer(answer: Answer, status: StatusAnswer | None) -> Finding:
    """Judge a list that was read.

    Args:
        answer: The first page.
        status: The account's status, if the list is empty and the gateway said it.
    """
    facts: dict[str, Value] = {"chats": len(answer.chats), "rows": answer.length}
    if answer.length and not answer.problem_count:
        found = f"it is a list of chats, and all {answer.length} of them can be read"
        if answer.length == 1:
            found = "it is a list of one chat, which can be read"
        return ok("answer", found, "", **facts)
    if answer.length:
        found = f"it is a list of chats: {len(answer.chats)} of {answer.length} can be read"
        return ok("answer", f"{found}, except for {counted(answer.problem_count, 'value')}", "", **facts)
    connected = None if status is None else status.connected
    if connected is None:
        return ok(
            "answer",
            "the list is empty, and it is not known whether the phone is connected",
            "If the account has chats, check in the Plug Chat panel that its phone is connected: while it is not, "
            "the list is empty.",
            **facts,
        )
    if not connected:
        found = "the list is empty because the phone is not connected; the account may have chats"
        return warning("answer", found, _RECONNECT, **facts)
    return ok(
        "answer",
        "the list is empty, and the phone is connected: the account has no chats",
        "If the phone was connected just now, its chats arrive one by one: try again in a few minutes.",
        **facts,
    )
