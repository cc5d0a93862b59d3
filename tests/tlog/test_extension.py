"""One state of a log extends another, or it is said from where on it does not."""

import base64
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from domain.errors import MalformedError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import EMPTY_ROOT, leaf_hash
from domain.transparency.key_notes import KeyNote
from domain.transparency.proofs import verify_consistency
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.extension import Extension, prove_extension
from infrastructure.tlog.key_chain import sign_key_note
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verify import verify_directory
from tests.tlog.conftest import AT, ORIGIN, entry
from tests.tlog.foreign import ForeignLog

Bundles = Callable[[int], Path]
SIZES = [0, 1, 2, 255, 256, 257, 600]


def refused(found: Extension, says: str) -> Extension:
    assert (found.ok, found.trust) == (False, "not verified")
    assert says in (found.first_error or ""), found.first_error
    assert (found.proof, found.checked, found.not_checked) == ((), (), ())
    return found


def written(signer: LogSigner, out: Path, size: int, other: int | None = None, notes: Sequence[bytes] = ()) -> Path:
    """Write a log; its entries from `other` on are not those of the fixtures."""
    entries = [entry(index) if other is None or index < other else b"other %d" % index for index in range(size)]
    extra = [(f"keys/{generation}.note", note) for generation, note in enumerate(notes)]
    write_bundle(entries, size=size, signer=signer, at_unix_s=AT, out=out, extra=extra)
    return out


def root(size: int) -> bytes:
    return Frontier.empty().extend(leaf_hash(entry(index)) for index in range(size)).root()


@pytest.mark.parametrize("new", SIZES)
@pytest.mark.parametrize("old", SIZES)
def test_a_bundle_extends_every_shorter_one_and_no_longer_one(
    original: Bundles, signer: LogSigner, old: int, new: int
) -> None:
    key = str(signer.verifier_keys()[0])
    found = prove_extension(original(old), original(new), log_keys=[key])
    if old > new:
        refused(found, f"OLD has {old} entries, NEW only {new}: a log never shrinks")
        return
    assert (found.ok, found.trust, found.first_error) == (True, "verified", None)
    assert found.checked
    assert any("audit verify" in one for one in found.not_checked)
    verify_consistency(old, new, found.proof, root(old), root(new))
    assert prove_extension(original(old), original(new)).trust == "self-consistent; origin not authenticated"


def test_a_checkpoint_by_itself_is_enough_of_the_older_one(original: Bundles, tmp_path: Path) -> None:
    shutil.copy(original(257) / "checkpoint", tmp_path / "kept.note")
    found = prove_extension(tmp_path / "kept.note", original(600))
    assert (found.ok, found.older) == (True, Checkpoint(ORIGIN, 257, root(257)))
    assert "the keys came with NEW" in found.not_checked[0]


@pytest.mark.parametrize("at", [0, 255, 256, 299])
def test_a_fork_is_refused_and_said_from_which_entry_on(
    original: Bundles, signer: LogSigner, tmp_path: Path, at: int
) -> None:
    forked = written(signer, tmp_path / "forked", 600, at)
    assert verify_directory(forked).ok  # by itself nothing is wrong with it
    found = refused(prove_extension(original(300), forked), f"they differ from entry {at} on")
    assert found.first_difference == at
    shutil.copy(original(300) / "checkpoint", tmp_path / "kept.note")
    found = refused(prove_extension(tmp_path / "kept.note", forked), "OLD's tiles are not there")
    assert found.first_difference is None


def test_a_fork_behind_the_older_one_is_no_fork(original: Bundles, signer: LogSigner, tmp_path: Path) -> None:
    assert prove_extension(original(300), written(signer, tmp_path / "b", 600, 300)).ok


def test_two_trees_of_one_size_are_a_fork(original: Bundles, signer: LogSigner, tmp_path: Path) -> None:
    refused(prove_extension(original(300), written(signer, tmp_path / "b", 300, 7)), "they differ from entry 7 on")


def test_another_log_is_no_extension(original: Bundles, tmp_path: Path) -> None:
    other = LogSigner.from_seeds("ledger.example/t/6", b"e" * 32, b"m" * 32)
    found = refused(prove_extension(original(2), written(other, tmp_path / "b", 600)), "two logs")
    assert found.newer is not None


@pytest.mark.parametrize("path", ["tile/0/001", "tile/1/000.p/2"])
def test_tiles_that_are_missing_or_short_are_named(bundle: Bundles, original: Bundles, path: str) -> None:
    copy = bundle(600)
    (copy / path).write_bytes((copy / path).read_bytes()[:-32])
    refused(prove_extension(original(257), copy), f"NEW: {path}")
    (copy / path).unlink()
    refused(prove_extension(original(257), copy), f"NEW: {path}: missing")


def test_a_tile_that_was_changed_is_no_proof(bundle: Bundles, original: Bundles) -> None:
    copy = bundle(600)
    data = bytearray((copy / "tile/1/000.p/2").read_bytes())
    data[0] ^= 1
    (copy / "tile/1/000.p/2").write_bytes(data)
    refused(prove_extension(original(257), copy), "though their leaves are the same: run audit verify on each")


def test_a_checkpoint_without_the_logs_signature_counts_for_nothing(
    bundle: Bundles, original: Bundles, tmp_path: Path
) -> None:
    stranger = LogSigner.from_seeds(ORIGIN, b"s" * 32, b"t" * 32)
    unsigned = tmp_path / "kept.note"
    unsigned.write_bytes(stranger.sign_checkpoint(Checkpoint(ORIGIN, 257, root(257)).to_text(), AT))
    refused(prove_extension(unsigned, original(600)), "OLD: checkpoint: not signed by any generation of NEW's keys")
    copy = bundle(600)
    (copy / "checkpoint").write_bytes(stranger.sign_checkpoint(Checkpoint(ORIGIN, 600, root(600)).to_text(), AT))
    refused(prove_extension(original(257), copy), "signature stripped")
    note = (original(257) / "checkpoint").read_bytes().splitlines(keepends=True)
    unsigned.write_bytes(b"".join(note[:-1]))
    refused(prove_extension(unsigned, original(600)), "OLD: checkpoint: signature stripped")
    unsigned.write_bytes(b"".join(note).replace(b"\n257\n", b"\n256\n"))
    refused(prove_extension(unsigned, original(600)), "OLD: checkpoint")


def test_a_key_from_outside_must_be_the_logs(original: Bundles) -> None:
    stranger = LogSigner.from_seeds(ORIGIN, b"s" * 32, b"t" * 32)
    found = prove_extension(original(1), original(2), log_keys=[str(stranger.verifier_keys()[0])])
    refused(found, "is not in it")
    with pytest.raises(MalformedError):
        prove_extension(original(1), original(2), log_keys=["no key"])


def test_nothing_that_lies_there_raises(original: Bundles, tmp_path: Path) -> None:
    refused(prove_extension(tmp_path / "none", original(2)), "OLD: none: missing")
    refused(prove_extension(original(2), tmp_path / "none"), "NEW: none: missing")
    (tmp_path / "empty").mkdir()
    refused(prove_extension(tmp_path / "empty", original(2)), "OLD: checkpoint: missing")
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    refused(prove_extension(tmp_path / "noise", original(2)), "OLD: ")
    (tmp_path / "pipe").symlink_to("/dev/zero")
    refused(prove_extension(tmp_path / "pipe", original(2)), "OLD: ")


# Keys that changed in between


@pytest.fixture
def rotated(signer: LogSigner, tmp_path: Path) -> tuple[Path, LogSigner]:
    """Return a bundle of 600 whose keys changed at size 300, and the new keys."""
    new = LogSigner.from_seeds(ORIGIN, b"n" * 32, b"o" * 32)
    begin = KeyNote(0, Checkpoint(ORIGIN, 0, EMPTY_ROOT), signer.verifier_keys())
    change = KeyNote(1, Checkpoint(ORIGIN, 300, root(300)), new.verifier_keys())
    notes = [sign_key_note(begin, [signer], AT), sign_key_note(change, [signer, new], AT)]
    return written(new, tmp_path / "rotated", 600, notes=notes), new


def test_a_state_that_older_keys_signed_is_extended(
    original: Bundles, signer: LogSigner, rotated: tuple[Path, LogSigner]
) -> None:
    bundle, new = rotated
    assert verify_directory(bundle).ok
    for keys in ([], [str(signer.verifier_keys()[0])], [str(new.verifier_keys()[1])]):
        assert prove_extension(original(257), bundle, log_keys=keys).ok
    assert prove_extension(bundle, bundle).ok


def test_a_state_of_keys_outside_the_chain_is_not_extended(rotated: tuple[Path, LogSigner], tmp_path: Path) -> None:
    stranger = LogSigner.from_seeds(ORIGIN, b"s" * 32, b"t" * 32)
    old = written(stranger, tmp_path / "old", 257)
    refused(prove_extension(old, rotated[0]), "not signed by any generation")
    (rotated[0] / "keys/1.note").unlink()
    refused(prove_extension(rotated[0], rotated[0]), "keys/0.note")


# Logs of others


@pytest.fixture
def foreign(tmp_path: Path) -> Callable[[str, int], ForeignLog]:
    return lambda name, size: ForeignLog(tmp_path / name).write(size)


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 5), (1, 2), (255, 257), (256, 600), (600, 600)])
def test_a_log_of_others_extends_itself(foreign: Callable[[str, int], ForeignLog], old: int, new: int) -> None:
    first, second = foreign("old", old), foreign("new", new)
    found = prove_extension(first.root, second.root, log_keys=[first.vkey])
    assert (found.ok, found.trust) == (True, "verified")
    refused(prove_extension(first.root, second.root), "must be given from outside")


def test_a_fork_of_a_log_of_others_is_found(foreign: Callable[[str, int], ForeignLog], tmp_path: Path) -> None:
    first, second = foreign("old", 300), foreign("new", 600)
    hashes = bytearray((second.root / "tile/0/000").read_bytes())
    hashes[32 * 9] ^= 1
    (second.root / "tile/0/000").write_bytes(hashes)
    size, text = 600, second.text().split("\n")
    leaves = hashes + (second.root / "tile/0/001").read_bytes() + (second.root / "tile/0/002.p/88").read_bytes()
    frontier = Frontier.empty().extend(bytes(leaves[at : at + 32]) for at in range(0, size * 32, 32))
    second.sign("\n".join([*text[:2], base64.b64encode(frontier.root()).decode(), ""]))
    upper = bytearray((second.root / "tile/1/000.p/2").read_bytes())
    upper[:32] = Frontier.empty().extend(bytes(hashes[at : at + 32]) for at in range(0, 8192, 32)).root()
    (second.root / "tile/1/000.p/2").write_bytes(upper)
    found = refused(prove_extension(first.root, second.root, log_keys=[first.vkey]), "they differ from entry 9 on")
    assert found.first_difference == 9
