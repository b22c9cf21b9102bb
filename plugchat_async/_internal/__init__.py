"""Helpers that know nothing of Plug Chat: validation, files, serialization, iterables, tasks."""
