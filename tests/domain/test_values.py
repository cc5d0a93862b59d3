"""Bounds, instants, digests: small values that many rules rest on."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bounds import MEBIBYTE, Bounds
from domain.hashing import sha256_hex
from domain.time import MAX_INSTANT_MS, rfc3339, tick_of
from tests.domain import strategies

bounds = strategies.model(Bounds)


@given(bounds, bounds)
def test_the_stricter_of_two_bounds_lies_within_both(one: Bounds, other: Bounds) -> None:
    both = one.stricter(other)
    assert both.within(one)
    assert both.within(other)
    assert both == other.stricter(one)
    assert one.within(other) is (both == one)


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_bytes": 65_535},
        {"memory_bytes": 4096 * MEBIBYTE + 1},
        {"fuel": 0},
        {"fuel": 10**12 + 1},
        {"wall_ms": 0},
        {"wall_ms": 24 * 3_600_000 + 1},
        {"wall_ms": 1.0},
        {"more": 1},
    ],
)
def test_bounds_have_bounds(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        Bounds(**{"memory_bytes": 65_536, "fuel": 1, "wall_ms": 1, **changes})


def test_bounds_print_with_their_units() -> None:
    assert str(Bounds(memory_bytes=65_536, fuel=2, wall_ms=3)) == "65536 bytes, 2 fuel, 3 ms"


def test_a_tick_is_a_second_and_the_last_instant_can_be_written() -> None:
    assert [tick_of(at) for at in (0, 999, 1000, 1999)] == [0, 0, 1, 1]
    assert rfc3339(1_700_000_000_999) == "2023-11-14T22:13:20Z"
    assert rfc3339(MAX_INSTANT_MS) == "9999-12-31T23:59:59Z"
    with pytest.raises(ValueError, match="year"):
        rfc3339(MAX_INSTANT_MS + 1)


@given(st.binary(max_size=40))
def test_digests_are_lowercase_hex(data: bytes) -> None:
    assert sha256_hex(data) == sha256(data).hexdigest()
