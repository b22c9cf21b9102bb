"""Targets for a coverage-guided fuzzer. Each is a program; the tests run their functions without it."""
