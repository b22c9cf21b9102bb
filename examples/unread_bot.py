"""A bot that reports new messages, each of them once, even if it is stopped and started again.

Try it on a simulated account, in which something happens every second:

    plugchat simulate --busy --chats 500            # in one terminal; it prints two lines with variables
    export PLUGCHAT_BASE_URL=... PLUGCHAT_TOKEN=... # in another one
    python unread_bot.py --interval 1

Ctrl-C and SIGTERM stop it, as soon as the owner knows of the event that it handles. It keeps its state in a file: after
a restart it reports what has happened in between.
"""

import argparse
import asyncio
import signal
from contextlib import aclosing, suppress
from pathlib import Path

from plugchat_async import ChatAdded, ChatChanged, ChatEvent, Outage, PlugChatError, PlugChatSession, WatchState


def news_of(event: ChatEvent) -> str | None:
    """Return the news for the owner, or None: muted chats and chats that were only read are no news."""
    chat = event.chat
    match event:
        case ChatAdded() if chat.unread and not chat.is_muted:
            return f"{chat.name or chat.id} writes for the first time"
        case ChatChanged(old, new) if new.unread > old.unread and not new.is_muted:
            return f"{chat.name or chat.id}: {new.unread - old.unread} new, {new.unread} unread"
        case _:
            return None


async def notify(text: str) -> None:
    """Notify the owner. Your bot may send an e-mail instead."""
    print(text, flush=True)


async def report_outage(outage: Outage) -> None:
    """Notify the owner once of each reason why the chats can't be read, and when they can be read again."""
    if outage.error is None:
        await notify(f"back after {outage.lasted:.0f} s")
    elif outage.is_new:
        await notify(f"outage: {outage.error.message}; retrying in {outage.wait:.0f} s")


async def main(state_file: Path, interval: float) -> None:
    """Watch the account until the process is stopped."""
    stop = asyncio.Event()
    with suppress(NotImplementedError):  # on Windows, where Ctrl-C cancels this function
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    state = WatchState.load(state_file)

    def save(known: WatchState) -> None:
        known.save(state_file)

    async with (
        PlugChatSession.from_env() as plugchat,
        aclosing(
            plugchat.watch_chats(
                interval=interval,
                state=state,
                stop=stop,
                on_outage=report_outage,
                on_poll=save,  # a poll may learn something without an event, as the first one does
            )
        ) as events,
    ):
        async for event in events:
            if news := news_of(event):
                await notify(news)
            save(state)  # after the owner knows it: saved earlier, a crash in between would lose the event
    print("good night")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Report new messages.")
    parser.add_argument("--interval", type=float, default=30.0, help="seconds between two polls")
    parser.add_argument("--state", type=Path, default=Path("unread_bot.state"), help="the file for the state")
    options = parser.parse_args()
    try:
        asyncio.run(main(options.state, options.interval))
    except KeyboardInterrupt:  # on Windows
        print("good night")
    except PlugChatError as error:  # no outage: something must be fixed
        raise SystemExit(f"unread_bot: {error}") from None
