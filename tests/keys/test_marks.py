"""The marks of a directory's files tell every change, by renaming at once and in place within a second."""

import os
import time
from pathlib import Path

import pytest

from infrastructure.keys import marks
from infrastructure.keys.marks import Marks


def settled(directory: Path) -> None:
    """Let the directory look as if nothing had changed for long."""
    os.utime(directory, (1, 1))


def test_a_replaced_file_shows_at_the_next_look(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_bytes(b"a")
    settled(tmp_path)
    found = Marks(str(tmp_path))
    first = found.of("one")
    assert first is not None
    assert found.of("two") is None
    (tmp_path / "next").write_bytes(b"b")
    (tmp_path / "next").rename(file)
    time.sleep(2 * marks._MOMENT_S)
    second = found.of("one")
    assert second != first
    file.unlink()
    time.sleep(2 * marks._MOMENT_S)
    assert found.of("one") is None


def test_two_changes_within_one_tick_of_the_clock_both_show(tmp_path: Path) -> None:
    found, seen = Marks(str(tmp_path)), set[object]()
    for number in range(50):
        (tmp_path / "next").write_bytes(bytes(number))
        (tmp_path / "next").rename(tmp_path / "one")
        time.sleep(1.5 * marks._MOMENT_S)
        seen.add(found.of("one"))
    assert len(seen) == 50


def test_a_change_in_place_shows_after_the_longest_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "_LONGEST_S", 0.05)
    file = tmp_path / "one"
    file.write_bytes(b"a")
    settled(tmp_path)
    found = Marks(str(tmp_path))
    first = found.of("one")
    file.write_bytes(b"ab")
    time.sleep(0.06)
    assert found.of("one") != first


def test_what_is_known_is_not_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_bytes(b"a")
    settled(tmp_path)
    looked: list[str] = []
    found = Marks(str(tmp_path))
    monkeypatch.setattr(marks, "_mark", looked.append)
    for _ in range(20):
        found.of("one")
        time.sleep(1.5 * marks._MOMENT_S)
    assert len(looked) == 1
    found.forget()
    found.of("one")
    assert len(looked) == 2
