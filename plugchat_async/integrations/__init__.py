"""Integrations with other libraries. Each one needs an extra; importing it without raises MissingExtraError."""
