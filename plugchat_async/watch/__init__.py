"""Watch an account for changes: options, the saved state, and outages. See `PlugChatSession.watch_chats`."""

from plugchat_async.watch.options import OnLook, OnOutage, Outage, WatchOptions, WatchState

__all__ = ["OnLook", "OnOutage", "Outage", "WatchOptions", "WatchState"]
