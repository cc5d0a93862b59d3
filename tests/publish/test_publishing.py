"""Tiles, floor, signature, checkpoint: whatever was appended and whenever it was published."""

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import LedgerError, UnavailableError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import leaf_hash
from domain.transparency.note import Note
from domain.transparency.proofs import verify_consistency, verify_inclusion
from domain.transparency.tlog_proof import TlogProof
from infrastructure.postgres.records import FrozenLogError
from infrastructure.publish.publishing import Prove
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verify import verify_directory
from infrastructure.witness.client import WitnessAheadError
from tests.publish.trees import ORIGIN, MemoryTree, Place, derived, entry, root_of, signed_by

SIZES = st.lists(st.integers(1, 1200), min_size=1, max_size=6).map(lambda sizes: sorted(set(sizes)))


@settings(max_examples=20)
@given(SIZES)
def test_a_directory_is_what_its_entries_give_whenever_they_were_published(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place, whole = Place(Path(folder)), MemoryTree.of(sizes[-1])
        for size in sizes:
            published = place.publish(MemoryTree(whole.stored[:size]))
            assert published.changed
            assert published.checkpoint == Checkpoint(ORIGIN, size, root_of(whole.stored[:size]))
            assert place.verify() == published.checkpoint == place.floors.read(ORIGIN)
        assert place.files() == derived(whole.stored, sizes)


def test_a_log_of_many_tiles_keeps_partials_of_published_sizes_until_their_tile_is_full(place: Place) -> None:
    sizes = [1, 255, 256, 300, 66_000, 66_010]
    whole = MemoryTree.of(sizes[-1])
    for size in sizes:
        place.publish(MemoryTree(whole.stored[:size]))
    assert place.files() == derived(whole.stored, sizes)
    assert place.verify().size == sizes[-1]
    assert not (place.tiles.path / "tile/0/000.p").exists()
    assert (place.tiles.path / "tile/1/001.p/1").is_file()


def test_nothing_new_writes_nothing_and_signs_nothing(place: Place) -> None:
    tree = MemoryTree.of(300)
    first = place.publish(tree)
    before = {path: path.stat().st_mtime_ns for path in place.path.rglob("*")}
    again = place.publish(tree)
    assert not again.changed
    assert again.note == first.note
    assert {path: path.stat().st_mtime_ns for path in place.path.rglob("*")} == before


def test_an_empty_log_can_be_published(place: Place) -> None:
    place.publish(MemoryTree())
    assert place.verify().size == 0
    place.publish(MemoryTree.of(3))
    assert place.verify().size == 3


def test_proofs_come_straight_from_the_tiles(place: Place) -> None:
    tree = MemoryTree.of(1000)
    place.publish(MemoryTree(tree.stored[:300]))
    place.publish(tree)
    for index in (0, 255, 256, 767, 768, 999):
        data = place.tiles.proof(index).to_bytes()
        proof = TlogProof.parse(data)
        assert proof.verify(leaf_hash(entry(index))).size == 1000
        assert signed_by(proof.note, place.signer)
        assert place.tiles.tree(1000).entry(index) == entry(index)
    published = place.tiles.tree(1000)
    for old in range(0, 1001, 37):
        root = root_of(tree.stored[:old])
        verify_consistency(old, 1000, published.consistency(old), root, tree.root())
        assert published.frontier(old).root() == root
    assert list(published.entries(250)) == tree.stored[250:]
    with pytest.raises(VerificationError):
        verify_inclusion(leaf_hash(b"other"), 3, 1000, published.inclusion(3), tree.root())


# What a crash leaves. A step is a file written, synced, renamed or removed, or a directory synced.


class Crash(BaseException):
    """The process ends here."""


def crashing(monkeypatch: pytest.MonkeyPatch, at: int) -> Callable[[], int]:
    """Let the process end before the at-th step; return how many there were."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Crash

    def wrap(module: object, name: str) -> None:
        real = getattr(module, name)

        def before(*args: object, **kwargs: object) -> object:
            step()
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, before)

    wrap(os, "fsync")
    wrap(Path, "rename")
    wrap(Path, "replace")
    wrap(shutil, "rmtree")
    return lambda: count


def test_a_crash_between_any_two_steps_is_made_good_and_no_size_gets_two_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: dict[int, set[bytes]] = {}
    real = LogSigner.sign_checkpoint

    def sign(self: LogSigner, text: bytes, at_unix_s: int) -> bytes:
        checkpoint = Checkpoint.parse(text)
        signed.setdefault(checkpoint.size, set()).add(checkpoint.root)
        return real(self, text, at_unix_s)

    monkeypatch.setattr(LogSigner, "sign_checkpoint", sign)
    tree, at, steps = MemoryTree.of(700), 1, 2
    while at <= steps:
        place = Place(tmp_path / str(at))
        place.publish(MemoryTree(tree.stored[:200]))
        with monkeypatch.context() as patched:
            counted = crashing(patched, at)
            try:
                place.publish(MemoryTree(tree.stored[:520]))
            except Crash:
                pass
            else:
                assert counted() < at
            steps = max(steps, counted() + 1)
        checkpoint = place.tiles.checkpoint()
        assert checkpoint is not None
        place.verify()  # whatever it says can be read
        assert place.publish(tree).checkpoint.size == 700
        assert place.verify().root == tree.root()
        expected = derived(tree.stored, [200, 520, 700])
        extra = place.files().keys() - expected.keys()
        assert not extra, "what a crash left is gone"
        at += 1
    assert steps > 12
    assert all(len(roots) == 1 for roots in signed.values())


def outcome(place: Place, tree: MemoryTree) -> str:
    try:
        place.publish(tree)
    except VerificationError as error:
        return "written" if "tile/" in str(error) else str(error)
    return "published"


def test_another_history_after_a_crash_is_frozen_at_every_step_from_the_floor_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The restored database has other entries from 200 on: what was signed, or may have been, is never signed again."""
    tree = MemoryTree.of(520)
    other = MemoryTree([*tree.stored[:200], *(entry(index, "b") for index in range(200, 600))])
    at, outcomes = 1, set()
    while True:
        place = Place(tmp_path / str(at))
        place.publish(MemoryTree(tree.stored[:200]))
        with monkeypatch.context() as patched:
            counted = crashing(patched, at)
            with contextlib.suppress(Crash):
                place.publish(tree)
            done = counted() < at
        floor = place.floors.read(ORIGIN)
        assert floor is not None
        if floor.size == 520:
            with pytest.raises(FrozenLogError, match=r"size 520 .* run `enclave-ledger log thaw`"):
                place.publish(other)
            outcomes.add("frozen")
        else:
            # Before the floor nothing of the first history was signed. Tiles that were written are told apart.
            outcomes.add(outcome(place, other))
        if done:
            break
        at += 1
    assert outcomes == {"frozen", "published", "written"}


def test_a_shorter_database_and_another_root_freeze_and_stay_frozen(place: Place) -> None:
    tree = MemoryTree.of(100)
    place.publish(tree)
    with pytest.raises(FrozenLogError) as refused:
        place.publish(MemoryTree(tree.stored[:90]))
    for said in ("size 100", tree.root().hex(), "size 90", root_of(tree.stored[:90]).hex(), "log thaw"):
        assert said in str(refused.value)
    with pytest.raises(FrozenLogError):
        place.publish(tree)  # it has to be thawed, whatever the database has now
    place.floors.thaw(ORIGIN)
    assert not place.publish(tree).changed
    with pytest.raises(FrozenLogError, match="size 100"):
        place.publish(MemoryTree.of(150, "b"))


def test_without_tiles_the_whole_tree_is_recomputed_and_written_again(place: Place) -> None:
    tree = MemoryTree.of(700)
    place.publish(MemoryTree(tree.stored[:600]))
    (place.tiles.path / "tile/0/002.p/88").unlink()
    (place.tiles.path / "tile/entries/001").unlink()
    place.publish(tree)
    assert place.verify().size == 700
    assert (place.tiles.path / "tile/entries/001").is_file()


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/002.p/88"])
def test_a_damaged_tile_is_named_and_nothing_is_signed(place: Place, path: str) -> None:
    tree = MemoryTree.of(700)
    place.publish(MemoryTree(tree.stored[:600]))
    damaged = place.tiles.path / path
    data = damaged.read_bytes()
    damaged.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    if path == "tile/0/000":  # nobody needs it to go on: fsck and proofs find it
        place.publish(tree)
        with pytest.raises(VerificationError):
            place.tiles.proof(3)
        return
    with pytest.raises(VerificationError, match=path.rpartition(".p")[0] or path):
        place.publish(tree)
    assert place.tiles.checkpoint() == Checkpoint(ORIGIN, 600, root_of(tree.stored[:600]))
    damaged.unlink()
    place.publish(tree)
    assert place.verify().size == 700


def test_entries_that_do_not_give_the_heads_root_leave_no_trace(place: Place) -> None:
    place.publish(MemoryTree.of(10))
    before = place.files()
    with pytest.raises(VerificationError, match="nothing was signed"):
        place.publish(MemoryTree(MemoryTree.of(20).stored, claimed_root=b"r" * 32))
    with pytest.raises(VerificationError, match="entry 12 has 0 bytes"):
        place.publish(MemoryTree([*MemoryTree.of(12).stored, b""]))
    assert place.files() == before
    assert place.floors.read(ORIGIN) == place.tiles.checkpoint()
    assert place.publish(MemoryTree.of(20)).changed


def test_a_floor_that_was_tampered_with_freezes(place: Place) -> None:
    tree = MemoryTree.of(100)
    place.publish(tree)
    floor = place.floors.path(ORIGIN)
    for wrong in (Checkpoint(ORIGIN, 90, root_of(tree.stored[:90])), Checkpoint(ORIGIN, 100, b"x" * 32)):
        floor.write_bytes(wrong.to_text())
        with pytest.raises(FrozenLogError):
            place.publish(MemoryTree.of(110))
        place.floors.thaw(ORIGIN)
    floor.unlink()
    with pytest.raises(FrozenLogError, match="the floor is missing"):
        place.publish(MemoryTree.of(110))
    place.floors.thaw(ORIGIN)
    for malformed in (b"", b"ledger.example/t/5\n100\n", tree.root(), Checkpoint("o/t/6", 100, tree.root()).to_text()):
        floor.write_bytes(malformed)
        floor.chmod(0o600)
        with pytest.raises(VerificationError):
            place.publish(MemoryTree.of(110))
    assert place.tiles.checkpoint() == Checkpoint(ORIGIN, 100, tree.root())


def test_a_floor_never_falls_and_never_gets_another_root(place: Place) -> None:
    floors = place.floors
    floors.raise_to(Checkpoint(ORIGIN, 10, b"a" * 32))
    floors.raise_to(Checkpoint(ORIGIN, 10, b"a" * 32))
    for wrong in (Checkpoint(ORIGIN, 9, b"a" * 32), Checkpoint(ORIGIN, 10, b"b" * 32)):
        with pytest.raises(VerificationError, match="below the floor"):
            floors.raise_to(wrong)
    assert list(floors.names()) == ["5"]
    assert floors.path(ORIGIN).read_bytes() == Checkpoint(ORIGIN, 10, b"a" * 32).to_text()


def test_a_witness_that_knows_more_freezes_before_the_checkpoint(place: Place) -> None:
    place.publish(MemoryTree.of(10))

    def ahead(note: Note, prove: Prove) -> Note:
        assert len(prove(10, 20)) > 0
        raise WitnessAheadError("w1", 25, 20)

    with pytest.raises(FrozenLogError, match="knows size 25"):
        place.publish(MemoryTree.of(20), ahead)
    assert place.tiles.checkpoint() == Checkpoint(ORIGIN, 10, root_of(MemoryTree.of(10).stored))
    with pytest.raises(FrozenLogError, match="knows size 25"):
        place.publish(MemoryTree.of(30))


def test_a_witness_that_is_down_leaves_the_checkpoint_and_is_asked_again(place: Place) -> None:
    def down(note: Note, prove: Prove) -> Note:
        raise UnavailableError("down")

    with pytest.raises(UnavailableError):
        place.publish(MemoryTree.of(20), down)
    assert place.tiles.checkpoint() is None
    assert place.publish(MemoryTree.of(20), lambda note, _: note).changed


class SharedTree(MemoryTree):
    """A log that others append to: it is as long as it is when it is asked."""

    def size(self) -> int:
        self.stored = WHOLE.stored[: next(GROWING)]
        return len(self.stored)


WHOLE, GROWING = MemoryTree.of(2000), iter(range(100, 2001, 50))


def test_publishers_at_once_end_as_one(place: Place) -> None:
    errors: list[LedgerError] = []

    def run() -> None:
        try:
            for _ in range(19):
                place.publish(SharedTree())
        except LedgerError as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    place.publish(WHOLE)
    assert place.verify() == Checkpoint(ORIGIN, 2000, WHOLE.root())


def test_our_own_directory_is_no_bundle_and_passes_for_none(place: Place) -> None:
    place.publish(MemoryTree.of(20))
    verdict = verify_directory(place.tiles.path, log_keys=[str(place.signer.verifier_keys()[0])])
    assert not verdict.ok
