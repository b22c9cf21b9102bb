"""A bot that tells of new messages, and of nobody twice, though it is stopped and started again.

Try it against a simulated account, in which something happens each second:

    plugchat simulate --busy --chats 500            # in one terminal; it prints two lines with variables
    export PLUGCHAT_BASE_URL=... PLUGCHAT_TOKEN=... # in another one
    python unread_bot.py --interval 1

Ctrl-C stops it. What it knows it keeps in a file: started again, it tells what has happened meanwhile.
"""

import argparse
import asyncio
from contextlib import aclosing
from pathlib import Path

from plugchat_async import ChatAdded, ChatChanged, ChatEvent, Outage, PlugChatError, PlugChatSession, WatchState


def news_of(event: ChatEvent) -> str | None:
    """Say what is new for the owner, or None if nothing is: not if a chat is muted, or was only read."""
    chat = event.chat
    match event:
        case ChatAdded() if chat.unread and not chat.is_muted:
            return f"{chat.name or chat.id} writes for the first time"
        case ChatChanged(old, new) if new.unread > old.unread and not new.is_muted:
            return f"{chat.name or chat.id}: {new.unread - old.unread} new, {new.unread} unread"
        case _:
            return None


async def notify(text: str) -> None:
    """Tell the owner. Yours may send an e-mail, or ring a bell."""
    print(text, flush=True)


def tell_of_outage(outage: Outage) -> None:
    """Say that the service can't be reached, and that it can again."""
    if outage.error is None:
        print(f"back after {outage.lasted:.0f} s", flush=True)
    else:
        print(f"not now: {outage.error.message}; again in {outage.wait:.0f} s", flush=True)


async def main(state_file: Path, interval: float) -> None:
    """Watch the account until the process is stopped."""
    state = WatchState.load(state_file)

    def save(known: WatchState) -> None:
        known.save(state_file)

    async with (
        PlugChatSession.from_env() as plugchat,
        aclosing(
            plugchat.watch_chats(
                interval=interval,
                state=state,
                on_outage=tell_of_outage,
                on_poll=save,  # what a look has learnt without an event, as the first one does
            )
        ) as events,
    ):
        async for event in events:
            if news := news_of(event):
                await notify(news)
            save(state)  # when the owner knows it: were it before, a crash between would lose it


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tell of new messages.")
    parser.add_argument("--interval", type=float, default=30.0, help="seconds between two looks")
    parser.add_argument("--state", type=Path, default=Path("unread_bot.state"), help="where to keep what is known")
    options = parser.parse_args()
    try:
        asyncio.run(main(options.state, options.interval))
    except KeyboardInterrupt:
        print("good night")
    except PlugChatError as error:  # no outage: something is to be mended
        raise SystemExit(f"unread_bot: {error}") from None
