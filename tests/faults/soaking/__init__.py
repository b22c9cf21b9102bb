"""The soak: a thousand walks at a time, for minutes, while everything goes wrong now and then."""
