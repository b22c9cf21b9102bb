"""What tests tell a session of a server, so that it asks for nothing but the pages."""

from plugchat_async import ServerTraits

# Short pages are the last ones. Walks doubt those that are longer than any page before, so the longest was a long one.
KNOWN_SERVER = ServerTraits(longest_page=1000, short_pages="end", past_end="empty")
