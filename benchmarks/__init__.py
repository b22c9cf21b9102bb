"""Figures, printed side by side: run with `python -m benchmarks.NAME`. Nothing here asserts a time."""
