"""XML Schema dateTimeStamp to and from milliseconds since 1970 (VC Data Model 2.0, section 4.9).

Invariants:
- Parsing reads ASCII digits only, needs a time zone, and asks no locale and no clock.
- What `print_timestamp` writes, `parse_timestamp` reads back to the same millisecond.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

from domain.errors import MalformedError

_PATTERN = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MAX_OFFSET = timedelta(hours=14)


def parse_timestamp(text: object) -> int:
    """Return milliseconds since 1970; finer fractions are cut off.

    Raises:
        MalformedError: when it is not a dateTimeStamp with a four-digit year.
    """
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise MalformedError("not a dateTimeStamp such as 2026-01-31T12:00:00Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction_ms = int((match[7] or "0").ljust(3, "0")[:3])
    try:
        moment = datetime(year, month, day, hour, minute, second, fraction_ms * 1000, _zone(match[8]))
        return (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        raise MalformedError("a dateTimeStamp names no instant that exists") from None


def print_timestamp(at_ms: int) -> str:
    """Return the shortest UTC dateTimeStamp of an instant: seconds, or seconds and three decimals.

    Raises:
        MalformedError: when it lies outside the years 1 to 9999.
    """
    try:
        moment = _EPOCH + at_ms * _MILLISECOND
    except OverflowError:
        raise MalformedError("an instant lies outside the years 1 to 9999") from None
    return moment.isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds").replace("+00:00", "Z")


def _zone(text: str) -> timezone:
    if text == "Z":
        return UTC
    minutes = int(text[4:6])
    offset = timedelta(hours=int(text[1:3]), minutes=minutes)
    if minutes >= 60 or offset > _MAX_OFFSET:  # noqa: PLR2004 - minutes in an hour
        raise ValueError
    return timezone(-offset if text[0] == "-" else offset)
