"""Credentials: verified a second, on one core."""
