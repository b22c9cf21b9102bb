"""The fault matrix: everything that a server, a network or a caller does wrong, and what must come of it."""
