"""XML Schema dateTimeStamp to and from milliseconds since 1970 (VC Data Model 2.0, section 4.9).

Invariants:
- Parsing reads ASCII digits only, needs a time zone, and asks no locale and no clock.
- What `print_timestamp` writes, `parse_timestamp` reads back to the same millisecond.
"""

import re
from datetime import UTC, datetime, timedelta

from domain.errors import MalformedError

_PATTERN = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SAME_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what is read has no zone until its own is taken off
_MILLISECOND = timedelta(milliseconds=1)
_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_MAX_OFFSET_MINUTES = 14 * 60


def parse_timestamp(text: object) -> int:
    """Return milliseconds since 1970; finer fractions are cut off.

    Raises:
        MalformedError: when it is not a dateTimeStamp with a four-digit year.
    """
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise MalformedError("not a dateTimeStamp such as 2026-01-31T12:00:00Z")
    local, fraction, zone = match.groups()
    try:
        elapsed = datetime.fromisoformat(local) - _SAME_EPOCH
        whole_ms = elapsed.days * _DAY_MS + elapsed.seconds * 1000 - _offset_ms(zone)
    except ValueError:
        raise MalformedError("a dateTimeStamp names no instant that exists") from None
    return whole_ms if fraction is None else whole_ms + int(fraction.ljust(3, "0")[:3])


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


def _offset_ms(text: str) -> int:
    if text == "Z":
        return 0
    minutes = int(text[4:6])
    offset = int(text[1:3]) * 60 + minutes
    if minutes >= 60 or offset > _MAX_OFFSET_MINUTES:  # noqa: PLR2004 - minutes in an hour
        raise ValueError
    return (-offset if text[0] == "-" else offset) * _MINUTE_MS
