"""Watch an account for changes: options, the saved state, and outages. See `PlugChatSession.watch_chats`."""

from plugchat_async.watch.options import OnOutage, OnPoll, Outage, WatchOptions, WatchState

__all__ = ["OnOutage", "OnPoll", "Outage", "WatchOptions", "WatchState"]
