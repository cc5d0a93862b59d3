import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from domain.errors import MalformedError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, NoteSignature, SignatureType, VerifierKey, parse_note
from infrastructure.entropy import SystemEntropy
from infrastructure.tlog.signing import LogSigner, verify_checkpoint_signature, verify_note_signature

ORIGIN = "ledger.example/t/5"
AT = 1_700_000_000
CHECKPOINT = Checkpoint(ORIGIN, 7, hashlib.sha256(b"root").digest())


@pytest.fixture(scope="module")
def signer() -> LogSigner:
    return LogSigner.from_seeds(ORIGIN, b"e" * 32, b"m" * 32)


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def test_a_log_signs_its_checkpoint_with_both_keys_as_c2sp_says(signer: LogSigner) -> None:
    text = CHECKPOINT.to_text()
    note = parse_note(signer.sign_checkpoint(text, AT))
    assert note.text == text
    ed25519, mldsa44 = note.signatures
    Ed25519PrivateKey.from_private_bytes(b"e" * 32).public_key().verify(ed25519.signature, text)
    message = b"subtree/v1\n\0" + bytes([18]) + ORIGIN.encode() + u64(AT) + bytes([18]) + ORIGIN.encode()
    message += u64(0) + u64(7) + CHECKPOINT.root
    assert mldsa44.signature[:8] == u64(AT)
    assert len(mldsa44.signature) == 8 + 2420
    MLDSA44PrivateKey.from_seed_bytes(b"m" * 32).public_key().verify(mldsa44.signature[8:], message)


def test_the_verifier_keys_are_named_for_the_log_and_ed25519_comes_first(signer: LogSigner) -> None:
    first, second = signer.verifier_keys()
    assert (first.type, second.type) == (0x01, 0x06)
    assert first.name == second.name == ORIGIN
    public = Ed25519PrivateKey.from_private_bytes(b"e" * 32).public_key().public_bytes_raw()
    assert first.key_id == hashlib.sha256(ORIGIN.encode() + b"\n\x01" + public).digest()[:4]
    assert len(second.public_key) == 1312


def test_each_key_verifies_what_it_signed_and_states_its_time(signer: LogSigner) -> None:
    note = parse_note(signer.sign_checkpoint(CHECKPOINT.to_text(), AT))
    ed25519, mldsa44 = signer.verifier_keys()
    assert verify_checkpoint_signature(note, ed25519, CHECKPOINT) is None
    assert verify_checkpoint_signature(note, mldsa44, CHECKPOINT) == AT


def test_another_note_is_signed_over_its_first_line_and_its_hash(signer: LogSigner) -> None:
    text = b"ledger-bundle/v1\nanything\n"
    note = parse_note(signer.sign_note(text, AT))
    ed25519, mldsa44 = signer.verifier_keys()
    assert verify_note_signature(note, ed25519) is None
    assert verify_note_signature(note, mldsa44) == AT
    message = b"subtree/v1\n\0" + bytes([18]) + ORIGIN.encode() + u64(AT) + bytes([16]) + b"ledger-bundle/v1"
    message += u64(0) + u64(0) + hashlib.sha256(text).digest()
    MLDSA44PublicKey.from_public_bytes(mldsa44.public_key).verify(note.signatures[1].signature[8:], message)


def test_a_cosignature_of_a_witness_verifies() -> None:
    private = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
    key = VerifierKey("witness.example/w", SignatureType.ED25519_COSIGNATURE, private.public_key().public_bytes_raw())
    message = b"cosignature/v1\ntime 1700000000\n" + CHECKPOINT.to_text()
    blob = u64(AT) + private.sign(message)
    note = Note(CHECKPOINT.to_text(), (NoteSignature(key.name, key.key_id, blob),))
    assert verify_checkpoint_signature(note, key, CHECKPOINT) == AT
    for wrong in (u64(AT + 1) + blob[8:], blob[:-1], blob[8:], blob[:3], u64(2**63) + blob[8:]):
        altered = Note(CHECKPOINT.to_text(), (NoteSignature(key.name, key.key_id, wrong),))
        with pytest.raises(VerificationError):
            verify_checkpoint_signature(altered, key, CHECKPOINT)


@pytest.mark.parametrize("which", [0, 1])
def test_no_altered_signature_or_text_verifies(signer: LogSigner, which: int) -> None:
    note = parse_note(signer.sign_checkpoint(CHECKPOINT.to_text(), AT))
    key, line = signer.verifier_keys()[which], note.signatures[which]
    wrong = [line.signature[:-1], line.signature + b"\0", b"s"]
    for place in {0, 7, 8, len(line.signature) // 2, len(line.signature) - 1}:
        flipped = bytes((line.signature[place] ^ 1,))
        wrong.append(line.signature[:place] + flipped + line.signature[place + 1 :])
    for signature in wrong:
        altered = Note(note.text, (NoteSignature(line.name, line.key_id, signature),))
        with pytest.raises(VerificationError):
            verify_checkpoint_signature(altered, key, CHECKPOINT)
    larger = Checkpoint(ORIGIN, 8, CHECKPOINT.root)
    with pytest.raises(VerificationError):
        verify_checkpoint_signature(Note(larger.to_text(), note.signatures), key, larger)


def test_every_line_of_a_known_key_must_be_right(signer: LogSigner) -> None:
    note = parse_note(signer.sign_checkpoint(CHECKPOINT.to_text(), AT))
    ed25519 = signer.verifier_keys()[0]
    wrong = NoteSignature(ed25519.name, ed25519.key_id, bytes(64))
    for lines in ((*note.signatures, wrong), (wrong, *note.signatures)):
        with pytest.raises(VerificationError, match="is wrong"):
            verify_checkpoint_signature(Note(note.text, lines), ed25519, CHECKPOINT)


def test_a_key_that_has_not_signed_verifies_nothing(signer: LogSigner) -> None:
    note = parse_note(signer.sign_checkpoint(CHECKPOINT.to_text(), AT))
    other = LogSigner.from_seeds(ORIGIN, b"x" * 32, b"y" * 32)
    for key in other.verifier_keys():
        with pytest.raises(VerificationError, match="not signed by"):
            verify_checkpoint_signature(note, key, CHECKPOINT)


def test_a_signer_signs_checkpoints_of_its_own_origin_only(signer: LogSigner) -> None:
    for text in (
        Checkpoint("ledger.example/t/6", 7, CHECKPOINT.root).to_text(),
        CHECKPOINT.to_text() + b"extension\n",
        b"ledger-bundle/v1\n",
    ):
        with pytest.raises(MalformedError):
            signer.sign_checkpoint(text, AT)


def test_no_other_note_can_pass_for_a_checkpoint(signer: LogSigner) -> None:
    for text in (CHECKPOINT.to_text(), f"{ORIGIN}\nanything\n".encode(), b"", b"\n", b"\xff\n", b"no newline"):
        with pytest.raises(MalformedError):
            signer.sign_note(text, AT)


def test_a_time_that_tlog_cosignature_forbids_is_not_signed(signer: LogSigner) -> None:
    for time in (-1, 2**63):
        with pytest.raises(MalformedError):
            signer.sign_checkpoint(CHECKPOINT.to_text(), time)


def test_seeds_load_the_same_keys_again_and_show_nowhere() -> None:
    first, second = (LogSigner.from_seeds(ORIGIN, b"e" * 32, b"m" * 32) for _ in range(2))
    assert first.verifier_keys() == second.verifier_keys()
    assert "redacted" in repr(first)
    assert (b"e" * 32).hex() not in repr(first)
    assert not hasattr(first, "__dict__")
    for ed25519, mldsa44 in ((b"e" * 31, b"m" * 32), (b"e" * 32, b"m" * 33)):
        with pytest.raises(MalformedError):
            LogSigner.from_seeds(ORIGIN, ed25519, mldsa44)
    with pytest.raises(MalformedError):
        LogSigner.from_seeds("no name", b"e" * 32, b"m" * 32)


def test_generated_keys_differ() -> None:
    one, other = (LogSigner.generate(ORIGIN, SystemEntropy()) for _ in range(2))
    assert not set(one.verifier_keys()) & set(other.verifier_keys())
    Ed25519PublicKey.from_public_bytes(one.verifier_keys()[0].public_key)
