"""A disk that is full: a clear error, nothing lost, and it goes on once there is room. On small file systems.

Skipped where none can be mounted, that is without root or in a container that forbids it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from domain.errors import UnavailableError
from domain.transparency.checkpoint import Checkpoint
from infrastructure.anchors.publisher import AnchorPublisher
from infrastructure.anchors.rounds import Rounds
from infrastructure.anchors.witnesses import NOBODY
from infrastructure.audit.verify import verify_bundle
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.publish.places import floors_of, tiles_of
from infrastructure.publish.publisher import Publisher
from tests.anchoring.stage import staged
from tests.database import running_server
from tests.postgres.sample import assert_whole, event, make_logs

_MIB = 1 << 20


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Iterator[Path]:
    """Mount a small file system."""
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("there is no mount program")
    path.mkdir()
    command = [mount, "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Leave no room on a disk."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        for size in (_MIB, 4096):
            try:
                while True:
                    os.write(file.fileno(), bytes(size))
            except OSError:
                pass
    try:
        yield
    finally:
        ballast.unlink()


def test_a_full_disk_under_the_database_is_told_and_loses_nothing(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 256) as disk,
        running_server(disk) as postgres,
        postgres.database() as name,
        LedgerDatastore(postgres.conninfo(name)) as datastore,
    ):
        recorder = LedgerRecorder(datastore)
        log_ids = make_logs(recorder, 2)

        acknowledged: list[bytes] = []

        def append(batches: int) -> None:
            for _ in range(batches):
                places = recorder.append([event(log_id) for log_id in log_ids for _ in range(200)])
                acknowledged.extend(one.leaf_hash for one in places)

        append(1)
        with (
            full(disk),
            pytest.raises(UnavailableError, match=r"the database's disk is full: make room|does not answer"),
        ):
            append(200)
        postgres.server.ensure_running()  # it stops itself where it can't write its log ahead
        datastore.check()
        append(1)
        assert_whole(recorder, log_ids)
        stored = {one.leaf_hash for log_id in log_ids for one in recorder.every_entry(log_id)}
        assert set(acknowledged) <= stored
        assert len(set(acknowledged)) == len(acknowledged)


def test_a_full_disk_under_what_is_published_is_told_and_the_next_run_goes_on(conninfo: str, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk, staged(disk, conninfo) as stage:
        assert Publisher(stage.ledger).publish().failed == {}
        AnchorPublisher(stage.ledger, NOBODY).turn()
        log = stage.log()
        before, tiles, floors = stage.ledger.head(log.log_id).size, tiles_of(stage.ledger, log), floors_of(stage.ledger)
        for _ in range(3):
            stage.grow()
        with full(disk):
            failed = Publisher(stage.ledger).publish().failed
            assert list(failed) == [log.origin]
            assert failed[log.origin].startswith("cannot write ")
            assert failed[log.origin].endswith("No space left on device")
            with pytest.raises(UnavailableError, match=r"cannot write .*: No space left on device"):
                AnchorPublisher(stage.ledger, NOBODY).turn()
            checkpoint, floor = tiles.checkpoint(), floors.read(log.origin)
            assert checkpoint is not None
            assert floor is not None
            assert checkpoint.size == before, "nothing was signed"
            assert floor.size == before
            stage.grow()  # appends go on: the database has its own disk
        assert Publisher(stage.ledger).publish().failed == {}
        turn = AnchorPublisher(stage.ledger, NOBODY).turn()
        assert Rounds(stage.ledger.datastore).frontier().size == turn.published.size
        head = stage.ledger.head(log.log_id)
        assert tiles.checkpoint() == Checkpoint(log.origin, head.size, head.root())
        assert verify_bundle(stage.export()).ok
