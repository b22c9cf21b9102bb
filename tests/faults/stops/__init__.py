"""Stops: a command is stopped in the middle of its work, by a signal, a disk, a pipe or the power, and run again."""
