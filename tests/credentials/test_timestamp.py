"""dateTimeStamp in, milliseconds out, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError
from infrastructure.credentials.timestamp import parse_timestamp, print_timestamp


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_what_is_printed_reads_back(at_ms: int) -> None:
    assert parse_timestamp(print_timestamp(at_ms)) == at_ms


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1970-01-01T00:00:00.0019Z", 1),
        ("1970-01-01T00:00:00.1Z", 100),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("2024-02-29T00:00:00-00:00", 1_709_164_800_000),
        ("1970-01-01T14:00:00+14:00", 0),
    ],
)
def test_instants_mean_what_xml_schema_says(text: str, at_ms: int) -> None:
    assert parse_timestamp(text) == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-01-01t00:00:00z",
        "2026-1-1T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2026-01-01T24:00:01Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00+14:01",
        "2026-01-01T00:00:00+00:60",
        "2026-01-01T00:00:00+0100",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00.000000000+15:00",
        "-2026-01-01T00:00:00Z",
        "12026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "\uff12\uff10\uff12\uff16-01-01T00:00:00Z",
        7,
        None,
    ],
)
def test_everything_else_is_malformed(text: object) -> None:
    with pytest.raises(MalformedError):
        parse_timestamp(text)


def test_instants_outside_the_calendar_are_refused() -> None:
    for at_ms in (2**60, -(2**60), 253_402_300_800_000):
        with pytest.raises(MalformedError):
            print_timestamp(at_ms)
