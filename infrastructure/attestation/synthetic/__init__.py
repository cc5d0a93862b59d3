"""Synthetic platforms: evidence in vendors' formats under a private root, made per data directory, never shipped."""
