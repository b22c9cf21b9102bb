"""Benchmarks that print figures side by side: `python -m benchmarks NAME`. Nothing here asserts a time."""
