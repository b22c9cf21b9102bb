"""Check whether the account's phone is connected, and why a list is empty. Pure: results -> a finding."""

from typing import Final

from plugchat_async.doctor.findings import Finding, Value, counted, failed, ok, skipped, warning
from plugchat_async.doctor.prober import ProbeResult, StatusResult

_RECONNECT: Final = "Reconnect the phone in the Plug Chat panel."


def check_phone(status: StatusResult, *, has_rows: bool) -> Finding:
    """Check whether the phone is connected.

    Args:
        status: The account's status.
        has_rows: Whether any answer had rows.
    """
    facts: dict[str, Value] = {
        "connected": status.connected,
        "session": status.session,
        "smartphone_connected": status.smartphone,
        "error": status.has_error_text,
    }
    if status.connected is None:
        return skipped("phone", f"unknown: {status.problem}", **facts)
    reason = f"; the gateway says: '{status.error_text}'" if status.error_text else ""
    if not status.connected:
        found = f"it is not connected to WhatsApp{reason}"
        if has_rows:
            return warning("phone", found, f"{_RECONNECT} Until then the list may not change.", **facts)
        return failed(
            "phone",
            found,
            f"{_RECONNECT} Until then the list is empty, and a walk finds no chats.",
            "service",
            **facts,
        )
    if status.smartphone is False:
        advice = "Turn the phone on, and check its internet connection."
        return warning("phone", "the account is connected to WhatsApp, but the phone is offline", advice, **facts)
    return ok("phone", "it is connected to WhatsApp", "", **facts)


def check_answer(result: ProbeResult, status: StatusResult | None) -> Finding:
    """Check whether the answer is a list of chats.

    Args:
        result: The first page.
        status: The account's status, if the list is empty and the status is known.
    """
    facts: dict[str, Value] = {"chats": len(result.chats), "rows": result.length}
    if result.length and not result.problem_count:
        found = f"it is a list of chats, and all {result.length} of them can be read"
        if result.length == 1:
            found = "it is a list of one chat, which can be read"
        return ok("answer", found, "", **facts)
    if result.length:
        found = f"it is a list of chats: {len(result.chats)} of {result.length} can be read"
        return ok("answer", f"{found}, except for {counted(result.problem_count, 'value')}", "", **facts)
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
