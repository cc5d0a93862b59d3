"""Instants: integers of milliseconds since 1970-01-01T00:00:00Z. They enter with events and arguments only."""

from datetime import UTC, datetime

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

TICK_MS = SECOND_MS
"""Granularity of instants that a tenant sees in a decision (wire formats 9)."""

MAX_INSTANT_MS = 253_402_300_799_999
"""Last instant that RFC 3339 can write (9999-12-31T23:59:59.999Z)."""


def tick_of(at_ms: int) -> int:
    """Return the 1 s tick of an instant."""
    return at_ms // TICK_MS


def rfc3339(at_ms: int) -> str:
    """Write an instant as RFC 3339 in UTC, to the second (``2026-01-31T12:00:00Z``)."""
    return datetime.fromtimestamp(at_ms // SECOND_MS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
