"""Floors: what holds, against what, in which direction."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.metrics import Bound, Metric, Result

NUMBERS = st.floats(min_value=0.001, max_value=1e9)


def throughput(floor: str = "4 x", aim: str | None = None) -> Metric:
    return Metric("sample.rate", "events/s", floor, aim)


def latency(floor: str = "15") -> Metric:
    return Metric("sample.p99_ms", "ms", floor, less_is_better=True)


@pytest.mark.parametrize(
    ("text", "limit", "on_ratio"), [("4 x", 4, True), ("1.0 x", 1, True), ("15", 15, False), ("0.2", 0.2, False)]
)
def test_a_floor_reads_as_it_is_written(text: str, limit: float, on_ratio: bool) -> None:
    assert Bound.parse(text) == Bound(limit, on_ratio)


@pytest.mark.parametrize("text", ["", "x", "4x", "-1", "4 X", "4 x ", "1e3", "60,000", "nan", "٤ x"])
def test_a_floor_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a floor is a number"):
        throughput(text)


def test_an_aim_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="a floor is a number"):
        throughput(aim="far above")


def test_a_floor_with_x_is_held_against_the_ratio() -> None:
    assert Result(throughput("4 x"), 400, 100).holds
    assert not Result(throughput("4 x"), 399, 100).holds


def test_a_floor_with_x_does_not_hold_without_a_peer_or_against_one_at_zero() -> None:
    assert not Result(throughput("4 x"), 1e9).holds
    assert not Result(throughput("4 x"), 1e9, 0.0).holds


def test_any_other_floor_is_held_against_the_value_whatever_the_ratio() -> None:
    assert Result(throughput("60000"), 60_000, 1e9).holds
    assert not Result(throughput("60000"), 59_999, 1.0).holds


def test_an_id_that_ends_in_ratio_is_held_against_its_value_too() -> None:
    growth = Metric("growth.ratio", "ratio", "1.1", "1.02", less_is_better=True)
    assert Result(growth, 1.1).holds
    assert not Result(growth, 1.101).holds


def test_of_a_latency_the_floor_is_an_upper_bound() -> None:
    assert Result(latency(), 15).holds
    assert not Result(latency(), 15.001).holds


@given(NUMBERS, NUMBERS)
def test_a_ratio_above_one_is_in_our_favour_in_either_direction(value: float, peer: float) -> None:
    more, less = Result(throughput(), value, peer), Result(latency("2 x"), value, peer)
    assert more.ratio is None or (more.ratio <= 1) is (more.value / peer < 1.0005) or math.isclose(more.ratio, 1)
    if more.ratio is not None and less.ratio is not None and max(value, peer) > 2 * min(value, peer):
        assert (more.ratio > 1) is (less.ratio < 1) is (value > peer)


@given(NUMBERS, NUMBERS)
def test_what_is_printed_is_what_was_judged(value: float, peer: float) -> None:
    row = Result(throughput("4 x"), value, peer).row()
    assert row["holds"] is (row["ratio"] is not None and row["ratio"] >= 4)
    assert row["value"] == round(value, 3)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_no_result(number: float) -> None:
    with pytest.raises(ValueError, match=r"sample\.rate"):
        Result(throughput(), number)
    with pytest.raises(ValueError, match=r"sample\.rate"):
        Result(throughput(), 1.0, number)
