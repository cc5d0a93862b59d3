"""The journal of a node: durable, strict, one process's."""

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import RefusedError, UnavailableError, VerificationError
from infrastructure.keys.private_files import sync_directory
from infrastructure.node import journal as journals
from infrastructure.node.journal import FILE, Journal, is_run
from tests.faults.test_disk_full import full, small_disk


def read(directory: Path) -> list[dict[str, object]]:
    with Journal(directory) as journal:
        return journal.records


def test_what_was_appended_is_there_again_in_its_order(tmp_path: Path) -> None:
    with Journal(tmp_path / "n") as journal:
        journal.append({"a": 1}, {"a": 2})
        journal.note({"a": 3})
        journal.append({"a": 4})
        journal.note({"a": 5})
    assert [one["a"] for one in read(tmp_path / "n")] == [1, 2, 3, 4, 5]


@given(cut=st.integers(0, 200))
def test_whatever_a_crash_tears_off_the_rest_is_whole(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    directory = tmp_path_factory.mktemp("j") / "n"
    with Journal(directory) as journal:
        for number in range(5):
            journal.append({"a": number})
    path = directory / FILE
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)])
    kept = [one["a"] for one in read(directory)]
    assert kept == list(range(len(kept)))
    with Journal(directory) as journal:
        journal.append({"a": "more"})
    assert [one["a"] for one in read(directory)] == [*kept, "more"]


def test_damage_in_the_middle_is_refused_and_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    with Journal(tmp_path / "n") as journal:
        journal.append({"a": 1})
        journal.append({"a": 2})
    path = tmp_path / "n" / FILE
    data = path.read_bytes()
    path.write_bytes(data[:-3] + b"x\n")
    assert [one["a"] for one in read(tmp_path / "n")] == [1]
    path.write_bytes(b"x" + data[1:])
    with pytest.raises(VerificationError, match="line 1"):
        Journal(tmp_path / "n")


def test_one_process_has_it(tmp_path: Path) -> None:
    key = tmp_path / "k.json"
    assert not is_run(key)
    with Journal(tmp_path / "k.node"):
        assert is_run(key)
        with pytest.raises(RefusedError, match="another process"):
            Journal(tmp_path / "k.node")
    assert not is_run(key)


def test_many_threads_share_it_and_nothing_is_lost(tmp_path: Path) -> None:
    with Journal(tmp_path / "n") as journal:

        def append(at: int) -> None:
            for number in range(20):
                journal.append({"t": at, "n": number})

        threads = [threading.Thread(target=append, args=(at,)) for at in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = read(tmp_path / "n")
    assert len(found) == 160
    for at in range(8):
        assert [one["n"] for one in found if one["t"] == at] == list(range(20))


def test_rewriting_replaces_everything(tmp_path: Path) -> None:
    with Journal(tmp_path / "n") as journal:
        journal.append({"a": 1})
        journal.rewrite([{"a": 2}])
        journal.append({"a": 3})
    assert [one["a"] for one in read(tmp_path / "n")] == [2, 3]


def failing(name: str, number: int, times: int) -> Callable[..., Any]:
    """Return what a call of `os` does when it fails so many times, and then works again."""
    real, left = getattr(os, name), [times]

    def call(*given: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return real(*given)

    return call


def test_a_rewrite_that_fails_before_the_rename_leaves_the_old_file_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path / "n") as journal:
        journal.append({"a": 1})
        for name in ("write", "fsync"):
            with monkeypatch.context() as broken:
                broken.setattr(os, name, failing(name, errno.ENOSPC, 1))
                with pytest.raises(UnavailableError, match="No space left"):
                    journal.rewrite([{"a": 2}])
            assert sorted(one.name for one in (tmp_path / "n").iterdir()) == [FILE, "lock"], "its room is given back"
        journal.append({"a": 3})
        assert (journal.failed, journal.full) == (False, False)
    assert [one["a"] for one in read(tmp_path / "n")] == [1, 3]


def test_a_rewrite_that_fails_after_the_rename_goes_on_in_the_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path / "n") as journal:
        journal.append({"a": 1})
        with monkeypatch.context() as broken:
            broken.setattr(journals, "sync_directory", failing_directory(3))
            with pytest.raises(UnavailableError, match="durable"):
                journal.rewrite([{"a": 2}])
            with pytest.raises(UnavailableError, match="durable"):
                journal.append({"a": 3})
            assert journal.full, "nothing is durable before the rename is"
            with pytest.raises(UnavailableError, match="durable"):
                journal.retry()
        journal.retry()
        assert [one["a"] for one in on_disk(tmp_path / "n")] == [2, 3]
        journal.append({"a": 4})
    assert [one["a"] for one in read(tmp_path / "n")] == [2, 3, 4]


def failing_directory(times: int, number: int = errno.ENOSPC) -> Callable[[Path], None]:
    """Return a sync of directories that fails so many times."""
    left = [times]

    def sync(path: Path) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        sync_directory(path)

    return sync


def on_disk(directory: Path) -> list[dict[str, Any]]:
    """Return what the file of the journal's name holds now, beside the process that has it."""
    lines = (directory / FILE).read_bytes().splitlines()
    return [one for line in lines for one in json.loads(line[9:])]


def test_what_there_was_no_room_for_is_written_in_its_order_once_there_is(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk, Journal(disk / "n") as journal:
        journal.append({"a": 0})
        size = (disk / "n" / FILE).stat().st_size
        with full(disk):
            for number in (1, 2):
                with pytest.raises(UnavailableError, match="No space left"):
                    journal.append({"a": number, "x": "x" * 5000})
            journal.note({"a": 3})
            with pytest.raises(UnavailableError, match="anew: No space left"):
                journal.rewrite([{"a": 9, "x": "x" * 5000}])
            with pytest.raises(UnavailableError, match="No space left"):
                journal.retry()
            assert (journal.full, journal.failed) == (True, False)
            assert (disk / "n" / FILE).stat().st_size == size, "no torn line stays"
        journal.retry()
        assert not journal.full
        assert [one["a"] for one in on_disk(disk / "n")] == [0, 1, 2, 3]
        journal.append({"a": 4})
        journal.close()
        assert [one["a"] for one in read(disk / "n")] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "number"), [("write", errno.EIO), ("fdatasync", errno.EIO), ("fdatasync", errno.ENOSPC)]
)
def test_after_any_other_fault_of_the_disk_nothing_more_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    with Journal(tmp_path / "n") as journal:
        journal.append({"a": 1})
        with monkeypatch.context() as broken:
            broken.setattr(os, name, failing(name, number, 1))
            with pytest.raises(UnavailableError):
                journal.append({"a": 2})
        assert_stopped(journal)


def test_a_rename_of_which_nobody_knows_whether_it_is_durable_stops_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path / "n") as journal:
        with monkeypatch.context() as broken:
            broken.setattr(journals, "sync_directory", failing_directory(1, errno.EIO))
            with pytest.raises(UnavailableError):
                journal.rewrite([{"a": 2}])
        assert_stopped(journal)


def assert_stopped(journal: Journal) -> None:
    """Make sure that a journal takes nothing more."""
    assert journal.failed
    with pytest.raises(UnavailableError, match="has to stop"):
        journal.append({"a": 3})
    with pytest.raises(UnavailableError, match="has to stop"):
        journal.rewrite([])
