"""The fault matrix: what a server, a network or a caller may do wrong, and the required outcome."""
