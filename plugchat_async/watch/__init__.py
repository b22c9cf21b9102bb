"""Watch an account for changes: the options, the saved state and the outages of `PlugChatSession.watch_chats`."""

from plugchat_async.watch.options import OnOutage, OnPoll, Outage, WatchOptions
from plugchat_async.watch.state import WatchState

__all__ = ["OnOutage", "OnPoll", "Outage", "WatchOptions", "WatchState"]
