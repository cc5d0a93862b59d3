"""Turns, medians, percentiles, and the file system below a path."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.machine import file_system
from scripts.bench.rounds import alternate, percentile, repeat, rounds_of


def test_sides_take_turns_and_who_begins_changes() -> None:
    order: list[str] = []
    rates = iter([10.0, 1.0, 2.0, 30.0, 20.0, 3.0])

    def side(name: str) -> float:
        order.append(name)
        return next(rates)

    found = alternate(3, lambda: side("ours"), lambda: side("peer"))
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert found == (20.0, 2.0)


def test_medians_are_of_5_and_of_3_when_quick() -> None:
    assert (rounds_of(quick=False), rounds_of(quick=True)) == (5, 3)
    values = iter([5.0, 1.0, 3.0])
    assert repeat(3, lambda: next(values)) == 3.0


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1), st.integers(min_value=1, max_value=100))
def test_a_percentile_is_the_smallest_value_that_so_many_percent_do_not_exceed(
    values: list[float], percent: int
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


@pytest.mark.parametrize(("values", "percent"), [([], 99), ([1.0], 0), ([1.0], 101)])
def test_a_percentile_of_nothing_is_refused(values: list[float], percent: int) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


def test_the_file_system_is_that_of_the_innermost_and_last_mount(tmp_path: Path) -> None:
    inner = tmp_path / "a disk"
    inner.mkdir()
    mounts = tmp_path / "mounts"
    escaped = str(inner).replace(" ", r"\040")
    mounts.write_text(f"/dev/a / ext4 rw 0 0\n/dev/b {escaped} tmpfs rw 0 0\n/dev/c {escaped} xfs rw 0 0\n")
    assert file_system(inner / "deeper", mounts) == "xfs"
    assert file_system(tmp_path, mounts) == "ext4"


def test_the_file_system_is_unknown_where_the_system_does_not_tell(tmp_path: Path) -> None:
    assert file_system(tmp_path, tmp_path / "missing") == "unknown"
