import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import LedgerError, MalformedError, NotAuthorisedError, RefusedError, UnavailableError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import EMPTY_ROOT
from domain.transparency.note import Note, NoteSignature, parse_note
from infrastructure.clock import VirtualClock
from infrastructure.tlog.cosigning import Cosigner, cosignature_times, parse_lines, verify_log_signatures
from infrastructure.tlog.signing import LogSigner
from infrastructure.witness import records as records_module
from infrastructure.witness.records import Records, origin_hash
from infrastructure.witness.request import AddCheckpoint
from infrastructure.witness.witness import Witness

AT = 1_700_000_000


def evidence(directory: Path, log: Any) -> list[str]:
    folder = directory / "evidence" / origin_hash(log.origin)
    return sorted(path.name.partition("-")[0] + path.suffix for path in folder.iterdir()) if folder.exists() else []


def test_a_growing_log_is_cosigned_with_both_keys_and_the_time(witness: Witness, log: Any) -> None:
    old = 0
    for size in (0, 1, 5, 5, 64, 300):
        answer = witness.add_checkpoint(log.request(old, size))
        assert answer.status == 200, answer
        note = Note(log.checkpoint(size).to_text(), parse_lines(answer.body))
        keys = witness.verifier_keys()
        assert cosignature_times(note, log.checkpoint(size), keys) == dict.fromkeys(keys, AT)
        old = size


def test_an_old_size_that_is_not_the_record_is_answered_with_the_size(witness: Witness, log: Any) -> None:
    answer = witness.add_checkpoint(log.request(3, 5))
    assert (answer.status, answer.content_type, answer.body) == (409, "text/x.tlog.size", b"0\n")
    witness.add_checkpoint(log.request(0, 5))
    for old, size in ((0, 9), (3, 9), (6, 9), (0, 5), (0, 3), (3, 3)):
        answer = witness.add_checkpoint(log.request(old, size))
        assert (answer.status, answer.content_type, answer.body) == (409, "text/x.tlog.size", b"5\n")


def test_an_unknown_origin_is_answered_before_a_wrong_signature(witness: Witness, log: Any) -> None:
    other = type(log)(
        origin="other.example/log", signer=LogSigner.from_seeds("other.example/log", b"o" * 32, b"O" * 32)
    )
    assert witness.add_checkpoint(other.request(0, 5)).status == 404
    wrong = Note(other.note(5).text, (NoteSignature(other.origin, b"1234", b"wrong"),))
    assert witness.add_checkpoint(AddCheckpoint(0, (), wrong).to_bytes()).status == 404


def test_a_log_is_trusted_by_its_signature_alone(witness: Witness, log: Any) -> None:
    note = log.note(5)
    ed25519, mldsa44 = note.signatures
    stranger = LogSigner.from_seeds(log.origin, b"x" * 32, b"y" * 32)
    strange = parse_note(stranger.sign_checkpoint(note.text, AT)).signatures
    wrong = NoteSignature(ed25519.name, ed25519.key_id, bytes(64))
    for lines in (strange, (wrong,), (wrong, mldsa44), (ed25519, wrong), (ed25519, mldsa44, wrong)):
        assert witness.add_checkpoint(AddCheckpoint(0, (), Note(note.text, lines)).to_bytes()).status == 403
    for lines in ((*strange, mldsa44), (ed25519,)):
        old = 0 if len(lines) == 3 else 5
        assert witness.add_checkpoint(AddCheckpoint(old, (), Note(note.text, lines)).to_bytes()).status == 200


def test_an_old_size_above_the_checkpoints_is_a_bad_request_after_the_signature(witness: Witness, log: Any) -> None:
    assert witness.add_checkpoint(log.request(6, 5)).status == 400
    bad = Note(log.note(5).text, (NoteSignature(log.origin, b"1234", b"s"),))
    assert witness.add_checkpoint(AddCheckpoint(6, (), bad).to_bytes()).status == 403


def test_malformed_requests_are_bad_requests(witness: Witness, log: Any) -> None:
    for body in (b"", b"old 0\n", log.request(0, 5)[:-1], b"old 0\n\n" + log.signer.sign_note(b"x/v1\n", AT)):
        assert witness.add_checkpoint(body).status == 400


def test_a_proof_that_does_not_hold_is_unprocessable_and_kept(
    witness: Witness, log: Any, forked: Any, directory: Path
) -> None:
    note = log.note(9)
    assert witness.add_checkpoint(AddCheckpoint(0, (bytes(32),), note).to_bytes()).status == 422
    assert evidence(directory, log) == ["refused.request"]
    assert witness.add_checkpoint(log.request(0, 5)).status == 200
    for proof in ((), tuple(log.prove(4, 9)), (*log.prove(5, 9), bytes(32)), tuple(log.prove(5, 9))[::-1]):
        assert witness.add_checkpoint(AddCheckpoint(5, proof, note).to_bytes()).status == 422
    assert evidence(directory, log) == ["refused.request"]
    assert witness.add_checkpoint(forked.request(5, 9)).status == 422
    assert evidence(directory, log) == ["refused.known", "refused.request", "refused.request"]
    assert witness.add_checkpoint(log.request(5, 9)).status == 200


@pytest.mark.parametrize("old", [0, 5])
def test_two_roots_of_one_size_are_kept_as_proof_of_a_fork(
    witness: Witness, log: Any, forked: Any, directory: Path, old: int
) -> None:
    witness.add_checkpoint(log.request(0, 5))
    assert witness.add_checkpoint(forked.request(old, 5)).status == (422 if old else 409)
    assert evidence(directory, log) == ["fork.known", "fork.request"]
    folder = directory / "evidence" / origin_hash(log.origin)
    refused = AddCheckpoint.parse(next(folder.glob("*.request")).read_bytes()).note
    known = parse_note(next(folder.glob("*.known")).read_bytes())
    for note in (refused, known):
        verify_log_signatures(note, Checkpoint.parse(note.text), log.signer.verifier_keys(), every=True)
    assert (refused.text, known.text) == (forked.note(5).text, log.note(5).text)
    assert witness.add_checkpoint(forked.request(old, 5)).status == (422 if old else 409)
    assert len(evidence(directory, log)) == 2


def test_the_space_for_evidence_is_bounded_and_replays_do_not_fill_that_of_forks(
    witness: Witness, log: Any, forked: Any, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "MAX_EVIDENCE", 3)
    witness.add_checkpoint(log.request(0, 5))
    for size in range(6, 14):
        assert witness.add_checkpoint(AddCheckpoint(5, (), log.note(size)).to_bytes()).status == 422
    assert evidence(directory, log).count("refused.request") == 3
    witness.add_checkpoint(forked.request(5, 5))
    assert evidence(directory, log).count("fork.request") == 1


def test_a_size_zero_with_another_root_is_unprocessable(witness: Witness, log: Any) -> None:
    text = f"{log.origin}\n0\n{'A' * 43}=\n".encode()
    with pytest.raises(MalformedError):
        log.signer.sign_checkpoint(text, AT)
    signature = log.signer._ed25519.sign(text)
    line = NoteSignature(log.origin, log.signer.verifier_keys()[0].key_id, signature)
    assert witness.add_checkpoint(AddCheckpoint(0, (), Note(text, (line,))).to_bytes()).status == 422
    wrong = NoteSignature(log.origin, line.key_id, bytes(64))
    assert witness.add_checkpoint(AddCheckpoint(0, (), Note(text, (wrong,))).to_bytes()).status == 403
    assert log.checkpoint(0).root == EMPTY_ROOT


def test_monitors_get_the_latest_checkpoint_with_the_logs_lines_and_ours(witness: Witness, log: Any) -> None:
    digest = hashlib.sha256(log.origin.encode()).hexdigest()
    assert witness.checkpoint(digest).status == 404
    note = log.note(5)
    noisy = Note(note.text, (*note.signatures, NoteSignature("stranger", b"1234", b"s"), *note.signatures))
    answer = witness.add_checkpoint(AddCheckpoint(0, (), noisy).to_bytes())
    served = witness.checkpoint(digest)
    assert served.status == 200
    assert parse_note(served.body) == Note(note.text, (*note.signatures, *parse_lines(answer.body)))
    for wrong in ("", digest.upper(), digest[1:], "../" + digest, f"{digest}\n", "../../witness.key"):
        assert witness.checkpoint(wrong).status == 404


def test_a_restart_forgets_nothing(opened: Callable[[], Witness], log: Any) -> None:
    assert opened().add_checkpoint(log.request(0, 5)).status == 200
    witness = opened()
    assert witness.add_checkpoint(log.request(0, 9)).body == b"5\n"
    assert witness.add_checkpoint(log.request(5, 9)).status == 200
    assert opened().add_checkpoint(log.request(9, 9)).status == 200


@settings(max_examples=25)
@given(data=st.data())
def test_whatever_is_asked_what_was_cosigned_is_one_history(data: st.DataObject, log: Any, forked: Any) -> None:
    cosigner = Cosigner.from_seeds("w", b"w" * 32, b"W" * 32)
    witness = Witness(cosigner, log.signer.verifier_keys(), cast("Records", Memory()), VirtualClock(AT * 1000))
    cosigned: list[Checkpoint] = []
    for _ in range(data.draw(st.integers(1, 12))):
        of = data.draw(st.sampled_from([log, forked]))
        known = cosigned[-1] if cosigned else Checkpoint(log.origin, 0, EMPTY_ROOT)
        old, size = data.draw(st.just(known.size) | st.integers(0, 12)), data.draw(st.integers(0, 12))
        answer = witness.add_checkpoint(of.request(old, size))
        due = old == known.size <= size and of.checkpoint(known.size).root == known.root
        assert (answer.status == 200) == due
        if due:
            cosigned.append(of.checkpoint(size))
    assert [each.size for each in cosigned] == sorted(each.size for each in cosigned)
    assert any(all(of.checkpoint(each.size) == each for each in cosigned) for of in (log, forked))


class Memory:
    """Records in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, Note] = {}

    def latest(self, origin: str) -> tuple[Note, Checkpoint] | None:
        note = self._kept.get(origin)
        return None if note is None else (note, Checkpoint.parse(note.text))

    def keep(self, origin: str, note: Note) -> None:
        self._kept[origin] = note

    def keep_refused(self, *_: object, **__: object) -> bool:
        return True


def test_concurrent_submissions_never_roll_a_log_back(witness: Witness, log: Any) -> None:
    sizes = list(range(1, 25))
    requests = {size: [log.request(old, size) for old in range(max(0, size - 4), size)] for size in sizes}
    statuses: list[tuple[int, int]] = []

    def submit(size: int) -> None:
        statuses.extend((size, witness.add_checkpoint(request).status) for request in requests[size] * 3)

    threads = [threading.Thread(target=submit, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [size for size, status in statuses if status == 200]
    latest = witness._records.latest(log.origin)
    assert latest is not None
    assert latest[1] == log.checkpoint(max(done))
    assert len(done) == len(set(done))
    assert {status for _, status in statuses} <= {200, 409}


def test_nothing_is_cosigned_that_could_not_be_kept(
    witness: Witness, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        answer = witness.add_checkpoint(log.request(0, 5))
    assert answer.status == 503
    assert b"space" not in answer.body
    assert witness.add_checkpoint(log.request(0, 5)).status == 200


def test_a_checkpoint_is_durable_before_its_cosignature_leaves(
    witness: Witness, log: Any, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = Records.keep

    def keep(self: Records, origin: str, note: Note) -> None:
        real(self, origin, note)
        seen.append((directory / "checkpoints" / origin_hash(origin)).read_text().split("\n")[1])

    monkeypatch.setattr(Records, "keep", keep)
    assert witness.add_checkpoint(log.request(0, 5)).status == 200
    assert seen == ["5"]


def test_a_damaged_record_stops_the_witness_and_is_never_taken_for_none(
    opened: Callable[[], Witness], log: Any, directory: Path
) -> None:
    witness = opened()
    witness.add_checkpoint(log.request(0, 5))
    path = directory / "checkpoints" / origin_hash(log.origin)
    whole = path.read_bytes()
    other = type(log)(
        origin="other.example/log", signer=LogSigner.from_seeds("other.example/log", b"o" * 32, b"O" * 32)
    )
    for damage in (b"", whole[:-1], b"x" * 2_000_000, other.note(9).to_bytes()):
        path.write_bytes(damage)
        assert witness.add_checkpoint(log.request(0, 5)).status == 503
        with pytest.raises(UnavailableError, match="damaged"):
            opened()
        path.write_bytes(whole)
        witness = opened()
    path.chmod(0o644)
    assert witness.checkpoint(origin_hash(log.origin)).status == 503


def test_a_witness_shares_no_key_and_no_name_with_a_log(directory: Path, log: Any) -> None:
    records = Records(directory)
    clock = VirtualClock(AT)
    try:
        for cosigner in (
            Cosigner.from_seeds("w.example", b"e" * 32, b"W" * 32),
            Cosigner.from_seeds("w.example", b"w" * 32, b"m" * 32),
            Cosigner.from_seeds(log.origin, b"w" * 32, b"W" * 32),
        ):
            with pytest.raises(NotAuthorisedError, match="shares no key and no name"):
                Witness(cosigner, log.signer.verifier_keys(), records, clock)
        cosigner = Cosigner.from_seeds("w.example", b"w" * 32, b"W" * 32)
        other = Cosigner.from_seeds("v.example", b"v" * 32, b"V" * 32)
        with pytest.raises(MalformedError, match="is no log's"):
            Witness(cosigner, other.verifier_keys(), records, clock)
    finally:
        records.close()


def test_one_process_serves_a_witness_and_a_missing_memory_is_not_made_anew(directory: Path) -> None:
    records = Records(directory)
    with pytest.raises(RefusedError, match="another process"):
        Records(directory)
    records.close()
    (directory / "checkpoints").rmdir()
    with pytest.raises(RefusedError, match="without its memory"):
        Records(directory)


def test_a_clock_at_zero_cosigns_nothing(directory: Path, log: Any) -> None:
    records = Records(directory)
    try:
        cosigner = Cosigner.from_seeds("w.example", b"w" * 32, b"W" * 32)
        witness = Witness(cosigner, log.signer.verifier_keys(), records, VirtualClock(0))
        assert witness.add_checkpoint(log.request(0, 5)).status == 503
        assert records.latest(log.origin) is None
    except LedgerError:
        raise AssertionError("a wrong clock is answered, not raised") from None
    finally:
        records.close()
