from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from domain.errors import MalformedError, VerificationError
from domain.transparency.note import Note, NoteSignature, parse_note
from domain.transparency.tlog_policy import PolicyGroup, PolicyLog, PolicyWitness, TlogPolicy
from infrastructure.entropy import SystemEntropy
from infrastructure.tlog.cosigning import (
    Cosigner,
    cosignature_times,
    evaluate,
    merge_cosignatures,
    parse_lines,
    print_lines,
    verify_log_signatures,
)
from infrastructure.tlog.signing import LogSigner

AT = 1_700_000_000


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def test_a_cosigner_signs_with_both_keys_as_c2sp_says(log: Any, cosigner: Cosigner) -> None:
    checkpoint = log.checkpoint(7)
    ed25519, mldsa44 = cosigner.cosign(checkpoint.to_text(), AT)
    first, second = cosigner.verifier_keys()
    assert (first.type, second.type) == (0x04, 0x06)
    assert (ed25519.key_id, mldsa44.key_id) == (first.key_id, second.key_id)
    assert ed25519.signature[:8] == mldsa44.signature[:8] == u64(AT)
    message = b"cosignature/v1\ntime 1700000000\n" + checkpoint.to_text()
    Ed25519PublicKey.from_public_bytes(first.public_key).verify(ed25519.signature[8:], message)
    name, origin = cosigner.name.encode(), checkpoint.origin.encode()
    subtree = b"subtree/v1\n\0" + bytes([len(name)]) + name + u64(AT) + bytes([len(origin)]) + origin
    subtree += u64(0) + u64(7) + checkpoint.root
    MLDSA44PublicKey.from_public_bytes(second.public_key).verify(mldsa44.signature[8:], subtree)


def test_the_ed25519_cosignature_covers_extension_lines(log: Any, cosigner: Cosigner) -> None:
    text = log.checkpoint(7).to_text() + b"an extension\n"
    lines = cosigner.cosign(text, AT)
    assert set(cosignature_times(Note(text, lines), log.checkpoint(7), cosigner.verifier_keys()).values()) == {AT}
    with pytest.raises(VerificationError):
        cosignature_times(Note(text[:-2] + b"!\n", lines), log.checkpoint(7), cosigner.verifier_keys())


@pytest.mark.parametrize("time", [0, -1, 2**63])
def test_a_cosignature_always_states_a_time(log: Any, cosigner: Cosigner, time: int) -> None:
    with pytest.raises(MalformedError, match="time is from 1"):
        cosigner.cosign(log.checkpoint(7).to_text(), time)


def test_only_checkpoints_are_cosigned(cosigner: Cosigner) -> None:
    for text in (b"ledger-bundle/v1\n", b"", b"o\n1\nAAAA\n"):
        with pytest.raises(MalformedError):
            cosigner.cosign(text, AT)


def test_lines_by_themselves_read_back(log: Any, cosigner: Cosigner) -> None:
    lines = cosigner.cosign(log.checkpoint(7).to_text(), AT)
    printed = print_lines(lines)
    assert printed.startswith("\u2014 witness.example/w1 ".encode())
    assert printed.endswith(b"\n")
    assert printed.count(b"\n") == 2
    assert parse_lines(printed) == lines
    for wrong in (b"", b"\n", printed[:-1], printed + b"\n", printed.replace(b"\n", b"\n\n", 1), b"text\n\n" + printed):
        with pytest.raises(MalformedError):
            parse_lines(wrong)


def test_merging_adds_verified_lines_behind_the_logs_own_and_keeps_the_newest(log: Any, cosigner: Cosigner) -> None:
    note, text = log.note(7), log.checkpoint(7).to_text()
    keys = cosigner.verifier_keys()
    old, new, other = (
        cosigner.cosign(text, AT),
        cosigner.cosign(text, AT + 5),
        Cosigner.from_seeds("other.example", b"o" * 32, b"O" * 32).cosign(text, AT),
    )
    merged, times = merge_cosignatures(note, [*other, *old], keys)
    assert merged == Note(text, (*note.signatures, *old))
    assert times == dict.fromkeys(keys, AT)
    assert parse_note(merged.to_bytes()) == merged
    again, times = merge_cosignatures(merged, [old[0], *new], keys)
    assert again == Note(text, (*note.signatures, *new))
    assert times == dict.fromkeys(keys, AT + 5)
    assert merge_cosignatures(again, old, keys)[0] == again
    assert merge_cosignatures(note, other, keys) == (note, {})


def test_a_wrong_line_of_a_known_key_is_never_merged(log: Any, cosigner: Cosigner) -> None:
    note, keys = log.note(7), cosigner.verifier_keys()
    right = cosigner.cosign(note.text, AT)
    foreign = cosigner.cosign(log.checkpoint(8).to_text(), AT)
    for lines in (foreign, (right[0], foreign[1]), (*right, foreign[0])):
        with pytest.raises(VerificationError, match="is wrong"):
            merge_cosignatures(note, lines, keys)
    with pytest.raises(VerificationError, match="is wrong"):
        merge_cosignatures(Note(note.text, (*note.signatures, foreign[0])), right, keys)
    with pytest.raises(VerificationError, match="no witness's key"):
        cosignature_times(note, log.checkpoint(7), log.signer.verifier_keys())


def test_of_our_own_logs_every_key_must_have_signed(log: Any) -> None:
    note, checkpoint, keys = log.note(7), log.checkpoint(7), log.signer.verifier_keys()
    assert verify_log_signatures(note, checkpoint, keys, every=True) == keys
    for which in (0, 1):
        stripped = Note(note.text, (note.signatures[which],))
        assert verify_log_signatures(stripped, checkpoint, keys, every=False) == (keys[which],)
        with pytest.raises(VerificationError, match=r"signature stripped: .* also signs with"):
            verify_log_signatures(stripped, checkpoint, keys, every=True)
    wrong = Note(note.text, (note.signatures[0], NoteSignature(keys[1].name, keys[1].key_id, b"wrong")))
    with pytest.raises(VerificationError, match="is wrong"):
        verify_log_signatures(wrong, checkpoint, keys, every=False)
    with pytest.raises(VerificationError, match="no key is known"):
        verify_log_signatures(note, checkpoint, (), every=False)
    others = LogSigner.from_seeds(log.origin, b"x" * 32, b"y" * 32).verifier_keys()
    with pytest.raises(VerificationError, match="no known key of"):
        verify_log_signatures(note, checkpoint, others, every=False)


def test_a_checkpoint_is_held_against_a_policy(log: Any, cosigner: Cosigner) -> None:
    ed25519, mldsa44 = cosigner.verifier_keys()
    other = Cosigner.from_seeds("other.example", b"o" * 32, b"O" * 32)
    policy = TlogPolicy(
        tuple(PolicyLog(key) for key in log.signer.verifier_keys()),
        (PolicyWitness("a", ed25519), PolicyWitness("b", mldsa44), PolicyWitness("c", other.verifier_keys()[1])),
        (PolicyGroup("w", 1, ("a", "b")), PolicyGroup("both", 2, ("w", "c"))),
        "both",
    )
    note, checkpoint = log.note(7), log.checkpoint(7)
    note, _ = merge_cosignatures(note, cosigner.cosign(note.text, AT), cosigner.verifier_keys())
    with pytest.raises(VerificationError, match="no quorum"):
        evaluate(note, checkpoint, policy, every_log_key=True).require()
    note, _ = merge_cosignatures(note, other.cosign(note.text, AT - 9), other.verifier_keys())
    found = evaluate(note, checkpoint, policy, every_log_key=True)
    assert (found.reached, found.newest_unix_s) == (True, AT - 9)
    with pytest.raises(VerificationError):
        evaluate(Note(note.text, note.signatures[2:]), checkpoint, policy)


def test_seeds_load_the_same_keys_again_and_show_nowhere() -> None:
    first, second = (Cosigner.from_seeds("w.example", b"e" * 32, b"m" * 32) for _ in range(2))
    assert first.verifier_keys() == second.verifier_keys()
    assert "redacted" in repr(first)
    assert not hasattr(first, "__dict__")
    with pytest.raises(MalformedError):
        Cosigner.from_seeds("w.example", b"e" * 31, b"m" * 32)
    assert (
        Cosigner.generate("w", SystemEntropy()).verifier_keys()
        != Cosigner.generate("w", SystemEntropy()).verifier_keys()
    )
