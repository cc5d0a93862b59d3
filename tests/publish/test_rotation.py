"""Keys of logs change: the chain of notes, the entry that records it, and what an auditor makes of both."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.errors import MalformedError, VerificationError
from domain.logs.events import KeyRotated
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import EMPTY_ROOT
from domain.transparency.key_notes import KeyNote, RevokedNote
from domain.transparency.note import Note, parse_note
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.commands.log_keys import rotate_log_key
from infrastructure.publish.logs import log_signer, publish_log, signer_of_generation
from infrastructure.publish.places import tiles_of
from infrastructure.tlog.key_chain import proves_fork, sign_key_note
from infrastructure.tlog.layout import Listed, manifest_text, print_manifest
from infrastructure.tlog.revocation import Recovery, Standing, require_in_force, revoked_generations
from infrastructure.tlog.signing import LogSigner
from tests.commands.cell import Cell, Member
from tests.database import postgres
from tests.publish.trees import signed_by

__all__ = ["postgres"]


@pytest.fixture
def member(cell: Cell) -> Member:
    return cell.join()


def vkeys(cell: Cell, member: Member, generation: int) -> list[str]:
    signer = signer_of_generation(cell.ledger, cell.ledger.log(member.log_id), generation)
    return [str(key) for key in signer.verifier_keys()]


def exported(cell: Cell, member: Member, out: Path) -> Path:
    export_bundle(cell.ledger, member.log_id, out, with_keys="all")
    return out


def test_a_rotation_is_the_entry_at_its_size_and_signs_from_there_on(
    cell: Cell, member: Member, tmp_path: Path
) -> None:
    ledger, log = cell.ledger, cell.ledger.log(member.log_id)
    before = publish_log(ledger, log)
    note = rotate_log_key(ledger, member.log_id)
    recorded = cell.history(member)[-1]
    assert recorded.event == KeyRotated(generation=1, from_size=before.checkpoint.size, note_digest=note.digest)
    assert recorded.leaf_index == note.start.size == before.checkpoint.size
    published = publish_log(ledger, log)
    assert published.checkpoint.size == note.start.size + 1
    assert signed_by(published.note, log_signer(ledger, member.log_id))
    assert signed_by(before.note, signer_of_generation(ledger, log, 0))
    with pytest.raises(VerificationError):
        signed_by(published.note, signer_of_generation(ledger, log, 0))
    member.adopt()
    rotate_log_key(ledger, member.log_id)
    bundle = exported(cell, member, tmp_path / "bundle")
    assert sorted(tiles_of(ledger, log).key_notes()) == [0, 1, 2]
    for generation in range(3):
        verdict = verify_bundle(bundle, log_keys=vkeys(cell, member, generation)[:1])
        assert (verdict.ok, verdict.trust, verdict.first_error) == (True, "verified", None)
    assert "3 generations of keys, each signed in by the one before" in verdict.checked
    assert "2 changes of the log's keys are recorded in it, each at its place" in verdict.checked
    assert not any("records each change" in one for one in verdict.not_checked)


@pytest.fixture
def rotated(cell: Cell, member: Member, tmp_path: Path) -> Path:
    rotate_log_key(cell.ledger, member.log_id)
    return exported(cell, member, tmp_path / "bundle")


def test_every_byte_of_a_note_counts(cell: Cell, member: Member, rotated: Path, tmp_path: Path) -> None:
    for generation in (0, 1):
        path = rotated / f"keys/{generation}.note"
        whole = path.read_bytes()
        for at in range(0, len(whole), 97):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert not verify_bundle(rotated).ok
        path.write_bytes(whole)
    assert verify_bundle(rotated).ok


@pytest.mark.parametrize("generation", [0, 1])
def test_a_note_that_is_missing_refuses(rotated: Path, generation: int) -> None:
    (rotated / f"keys/{generation}.note").unlink()
    assert not verify_bundle(rotated).ok


def test_a_bundle_that_hides_a_rotation_is_found_by_the_entry(cell: Cell, member: Member, rotated: Path) -> None:
    """The log's own keys can leave the notes out of a manifest that they sign; the entry tells."""
    shutil.rmtree(rotated / "keys")
    files = {
        name: Listed.of((rotated / name).read_bytes()) for name in ("ack.jwk", "checkpoint", "keys.json", "log.vkey")
    }
    manifest = print_manifest(files)
    signer = log_signer(cell.ledger, member.log_id)
    size = cell.ledger.head(member.log_id).size
    (rotated / "manifest.json").write_bytes(manifest)
    (rotated / "manifest.note").write_bytes(signer.sign_note(manifest_text(signer.name, size, manifest), 1))
    verdict = verify_bundle(rotated, log_keys=vkeys(cell, member, 1))
    assert not verdict.ok
    assert "not those that its entries record" in (verdict.first_error or "")


def test_another_logs_old_key_authenticates_nothing(cell: Cell, member: Member, rotated: Path) -> None:
    other = LogSigner.from_seeds(member.tenant.origin, b"o" * 32, b"p" * 32)
    verdict = verify_bundle(rotated, log_keys=[str(other.verifier_keys()[0])])
    assert "the key given from outside" in (verdict.first_error or "")


def test_a_rotation_that_was_cut_short_is_taken_up(cell: Cell, member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = cell.ledger
    with monkeypatch.context() as patched:
        patched.setattr("infrastructure.commands.log_keys.signed_note", _end)
        with pytest.raises(KeyboardInterrupt):
            rotate_log_key(ledger, member.log_id)
    assert len(ledger.keyring.get(member.log_id).signing) == 2
    assert signed_by(
        publish_log(ledger, ledger.log(member.log_id)).note, signer_of_generation(ledger, ledger.log(member.log_id), 0)
    )
    assert rotate_log_key(ledger, member.log_id).generation == 1
    assert len(ledger.keyring.get(member.log_id).signing) == 2


def _end(*_: object) -> None:
    raise KeyboardInterrupt


ORIGIN = "ledger.example/t/9"
OLD, NEW, EVIL = (LogSigner.from_seeds(ORIGIN, bytes([n] * 32), bytes([n + 1] * 32)) for n in (1, 3, 5))


def test_two_notes_of_one_generation_prove_a_fork() -> None:
    start = Checkpoint(ORIGIN, 7, b"r" * 32)
    one = sign_key_note(KeyNote(1, start, NEW.verifier_keys()), [OLD, NEW], 1)
    two = sign_key_note(KeyNote(1, start, EVIL.verifier_keys()), [OLD, EVIL], 1)
    again = sign_key_note(KeyNote(1, start, NEW.verifier_keys()), [OLD, NEW], 2)
    later = sign_key_note(KeyNote(2, start, NEW.verifier_keys()), [OLD, NEW], 1)
    forged = sign_key_note(KeyNote(1, start, EVIL.verifier_keys()), [EVIL, EVIL], 1)
    assert proves_fork(one, two, OLD.verifier_keys())
    assert not proves_fork(one, again, OLD.verifier_keys())
    assert not proves_fork(one, later, OLD.verifier_keys())
    with pytest.raises(VerificationError):
        proves_fork(one, forged, OLD.verifier_keys())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda text: text.replace(b"v1", b"v2"),
        lambda text: text.replace(b"\n7\n", b"\n07\n"),
        lambda text: text + b"more\n",
        lambda text: text.replace(b"\n1\n", b"\n0\n"),
        lambda text: text.replace(ORIGIN.encode(), b"ledger.example/t/8", 1),
    ],
)
def test_a_note_about_keys_has_one_spelling(wrong: Callable[[bytes], bytes]) -> None:
    note = KeyNote(1, Checkpoint(ORIGIN, 7, b"r" * 32), NEW.verifier_keys())
    assert KeyNote.parse(note.to_text()) == note
    with pytest.raises(MalformedError):
        KeyNote.parse(wrong(note.to_text()))


REVOKED = RevokedNote(1, 40, Checkpoint(ORIGIN, 7, b"r" * 32))


def recovery_signed(*names: str) -> bytes:
    text = REVOKED.to_text()
    signers = [LogSigner.from_seeds(name, name.encode() * 8, b"m" * 32) for name in names]
    notes = [parse_note(signer.sign_note(text, 1)) for signer in signers]
    return Note(text, tuple(note.signatures[0] for note in notes)).to_bytes()


def recovery(threshold: int) -> Recovery:
    signers = [LogSigner.from_seeds(name, name.encode() * 8, b"m" * 32) for name in ("anna", "bela", "carl")]
    return Recovery(tuple(signer.verifier_keys()[0] for signer in signers), threshold)


def test_a_revocation_counts_at_the_threshold_of_holders() -> None:
    assert RevokedNote.parse(REVOKED.to_text()) == REVOKED
    assert recovery(2).read(recovery_signed("anna", "carl")) == REVOKED
    assert recovery(2).read(recovery_signed("anna", "dora", "bela")) == REVOKED
    for few in (("anna",), ("anna", "anna"), ("anna", "dora")):
        with pytest.raises(VerificationError, match="2 are due"):
            recovery(2).read(recovery_signed(*few))
    data = recovery_signed("anna", "bela")
    with pytest.raises(VerificationError, match="wrong"):
        recovery(1).read(data.replace(b"\n40\n", b"\n41\n"))
    for threshold in (0, 4):
        with pytest.raises(MalformedError):
            recovery(threshold)


def test_checkpoints_of_a_revoked_generation_count_only_where_they_were_anchored_in_time() -> None:
    revoked = revoked_generations([REVOKED, RevokedNote(1, 50, REVOKED.last_good)], ORIGIN)
    assert revoked_generations([REVOKED], "ledger.example/t/8") == {}
    first = KeyNote(0, Checkpoint(ORIGIN, 0, EMPTY_ROOT), OLD.verifier_keys())
    second = KeyNote(1, Checkpoint(ORIGIN, 7, b"r" * 32), NEW.verifier_keys())
    third = KeyNote(2, Checkpoint(ORIGIN, 9, b"r" * 32), EVIL.verifier_keys())
    require_in_force((first, second), revoked, Standing(head_round=40))
    require_in_force((first,), revoked, Standing())
    require_in_force((), {}, Standing())
    with pytest.raises(VerificationError, match="were revoked"):
        require_in_force((first, second, third), revoked, Standing(head_round=40))
    for late in (41, None):
        with pytest.raises(VerificationError, match="were revoked"):
            require_in_force((first, second), revoked, Standing(head_round=late))
        with pytest.raises(VerificationError, match="were revoked"):
            require_in_force((), revoked, Standing(head_round=late))  # a bundle that hides its chain
