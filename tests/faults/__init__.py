"""Faults: a matrix of them, each with a peer that makes it, and a soak of walks among them."""
