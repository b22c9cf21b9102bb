"""The `plugchat` command."""
