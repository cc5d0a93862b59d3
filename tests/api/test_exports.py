"""What killed processes leave of exports and backups goes with the next one, and nothing of those that are at work."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.errors import ConflictError, UnavailableError
from infrastructure.api.exports import Exports
from infrastructure.backup.archive import Reader, Writer, writing

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import os, sys
from pathlib import Path
from infrastructure.api.exports import Exports
exports = Exports(Path(sys.argv[1]))
exports.new().mkdir()
print("there", flush=True)
sys.stdin.read()
"""
HALF = """
import sys
from pathlib import Path
from infrastructure.backup.archive import writing
with writing(Path(sys.argv[1])) as writer:
    writer.add("files/x", 4, [b"half"])
    writer._file.flush()
    print("there", flush=True)
    sys.stdin.read()
"""


def started(program: str, *arguments: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    return process


def directories(data_dir: Path) -> int:
    return sum(path.is_dir() for path in (data_dir / "exports").iterdir())


def test_exports_of_a_process_that_was_killed_go_and_those_of_one_at_work_stay(tmp_path: Path) -> None:
    living, dead = started(KILLED, tmp_path), started(KILLED, tmp_path)
    try:
        assert directories(tmp_path) == 2
        dead.kill()
        dead.communicate()
        with Exports(tmp_path) as own:
            assert directories(tmp_path) == 2, "the living one's and our own"
            own.new().mkdir()
            assert len(list((tmp_path / "exports").glob("*/*/"))) == 2
        assert directories(tmp_path) == 1
        own.close()
    finally:
        living.kill()
        living.communicate()
    with Exports(tmp_path):
        assert directories(tmp_path) == 1


def test_exports_of_an_older_release_go_when_nobody_can_be_sending_them(tmp_path: Path) -> None:
    left = tmp_path / "exports/0123"
    left.mkdir(parents=True, mode=0o700)
    left.parent.chmod(0o700)
    with Exports(tmp_path):
        assert left.exists(), "a process of that release may be at work"
    os.utime(left, (0, 0))
    with Exports(tmp_path):
        assert not left.exists()
    left.mkdir()
    with Exports(tmp_path, alone=True):
        assert not left.exists()


def test_a_backup_that_was_killed_goes_with_the_next_and_one_under_way_stays(tmp_path: Path) -> None:
    dead, living = started(HALF, tmp_path / "one"), started(HALF, tmp_path / "two")
    try:
        dead.kill()
        dead.communicate()
        others = tmp_path / ".notes.1.writing"
        others.write_text("of somebody else, and not ours at all" * 20)
        others.chmod(0o600)
        assert len(list(tmp_path.glob(".*.writing"))) == 3
        with writing(tmp_path / "three") as writer:
            finished(writer)
        left = {path.name for path in tmp_path.glob(".*.writing")}
        assert left == {others.name, f".two.{living.pid}.writing"}
    finally:
        living.kill()
        living.communicate()
    with Reader(tmp_path / "three") as reader:
        assert reader.verified().kind == "keyring"
    with pytest.raises(ConflictError), writing(tmp_path / "three"):
        pass


def test_a_killed_backups_name_of_ones_own_pid_is_no_hindrance(tmp_path: Path) -> None:
    left = tmp_path / f".one.{os.getpid()}.writing"
    left.touch(mode=0o600)
    with writing(tmp_path / "one") as writer:
        finished(writer)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    with pytest.raises(UnavailableError), writing(tmp_path / "none/one"):
        pass


def finished(writer: Writer) -> None:
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    writer.finish({"kind": "keyring", "made_at": at, "program": "1"})
