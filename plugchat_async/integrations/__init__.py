"""What works with other libraries. Each module needs an extra, and names it where it is not installed: `_extras`."""
