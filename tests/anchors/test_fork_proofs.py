import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.canonical import canonical
from domain.errors import LedgerError, MalformedError, VerificationError
from domain.transparency.anchor_evidence import AnchoredOpening, SignedCheckpoint
from domain.transparency.anchor_forks import ForkProof, ForkReason, contradiction
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note
from infrastructure.tlog.cosigning import verify_log_signatures

A, B = "a" * 20, "aabbbbbbbb"


def keys_only(world: Any) -> Any:
    """Judge by the log keys that a stranger has, and nothing else."""
    keys = [*world.platform.verifier_keys(), *world.tenant.verifier_keys()]

    def judge(note: Note, checkpoint: Checkpoint) -> None:
        verify_log_signatures(note, checkpoint, keys, every=True)

    return judge


def opened(world: Any, history: str, size: int) -> AnchoredOpening:
    """Return the opening of round 1, in an anchor log of its own."""
    anchors = world.anchors(sign=world.signed)
    anchors.add(b"")
    anchors.add(world.text(history, size))
    opening: AnchoredOpening = anchors.open(1)
    return opening


@pytest.fixture(scope="module")
def fork(world: Any) -> ForkProof:
    """Return the proof that takes most: two rounds, and a consistency proof between their sizes."""
    anchors = world.anchors(sign=world.signed)
    anchors.add(world.text(B, 4))
    anchors.add(world.text(A, 7))
    found = contradiction(world.origin, anchors.open(0), anchors.open(1), world.tree(A, 7))
    assert found is not None
    return found


def test_a_fork_proof_convinces_with_nothing_but_itself_and_the_logs_keys(world: Any, fork: ForkProof) -> None:
    read = ForkProof.parse(fork.to_bytes())
    assert read == fork
    assert read.verify(keys_only(world)) is ForkReason.NOT_A_PREFIX
    assert str(read).startswith(
        "fork of ledger.example/t/5: the smaller tree is no prefix of the larger one (round 0: "
    )


def test_a_signed_checkpoint_and_a_round_that_disagree_are_a_proof(world: Any) -> None:
    signed = SignedCheckpoint(world.signed(world.checkpoint(A, 4)))
    fork = contradiction(world.origin, signed, opened(world, B, 4))
    assert fork is not None
    assert ForkProof.parse(fork.to_bytes()).verify(keys_only(world)) is ForkReason.TWO_ROOTS
    assert SignedCheckpoint.parse(signed.to_bytes()) == signed
    assert f"(signed checkpoint: size 4, root {world.checkpoint(A, 4).root.hex()}; round 1: size 4, " in str(fork)


def test_two_signed_checkpoints_that_disagree_are_a_proof(world: Any) -> None:
    small, large = (SignedCheckpoint(world.signed(world.checkpoint(*each))) for each in ((B, 4), (A, 7)))
    assert contradiction(world.origin, small, large) is None
    fork = contradiction(world.origin, large, small, world.tree(A, 7))
    assert fork is not None
    assert fork.verify(keys_only(world)) is ForkReason.NOT_A_PREFIX


def test_what_can_both_be_true_gives_no_proof(world: Any) -> None:
    anchors = world.anchors(sign=world.signed)
    for text in (b"", world.text(A, 0), world.text(A, 2), world.text(A, 2), world.text(A, 7)):
        anchors.add(text)
    sides = [*anchors.open_all(), SignedCheckpoint(world.signed(world.checkpoint(A, 5)))]
    for one in sides:
        for other in sides:
            assert contradiction(world.origin, one, other, world.tree(A, 9)) is None
            with pytest.raises(MalformedError, match="not a fork proof"):
                ForkProof(world.origin, one, other)


@given(st.data())
def test_an_honest_operator_is_never_convicted(world: Any, data: st.DataObject) -> None:
    anchors = world.anchors()
    sizes = sorted(data.draw(st.lists(st.integers(0, 12), min_size=2, max_size=5)))
    for size in sizes:
        anchors.add(world.text(A, size))
    one, other = (anchors.open(data.draw(st.integers(0, len(sizes) - 1))) for _ in range(2))
    hashes = st.binary(min_size=32, max_size=32)
    small, large = sorted((sizes[one.round_index], sizes[other.round_index]))
    path = world.tree(A, 12).consistency(small, large)
    for root in (data.draw(hashes), world.checkpoint(A, small).root):
        for proof in (path, tuple(data.draw(st.lists(hashes, max_size=4)))):
            with pytest.raises(MalformedError):
                ForkProof(world.origin, one, other, root, proof)


def test_a_stripped_or_foreign_signature_proves_nothing(world: Any, fork: ForkProof) -> None:
    assert isinstance(fork.first, AnchoredOpening)
    note = fork.first.proof.note
    for lines in (note.signatures[:1], note.signatures[1:], note.signatures[:1] * 2):
        proof = type(fork.first.proof)(
            fork.first.proof.index, fork.first.proof.path, Note(note.text, lines), fork.first.proof.extra
        )
        altered = ForkProof(fork.origin, AnchoredOpening(proof), fork.second, fork.prefix_root, fork.consistency)
        with pytest.raises(VerificationError, match="signature stripped"):
            altered.verify(keys_only(world))


@given(st.data())
def test_no_altered_byte_leaves_a_valid_proof_of_anything_else(
    world: Any, fork: ForkProof, data: st.DataObject
) -> None:
    raw = bytearray(fork.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 127))
    try:
        read = ForkProof.parse(bytes(raw))
        read.verify(keys_only(world))
    except LedgerError:
        return
    raise AssertionError(f"an altered proof still convinces: {bytes(raw)!r}")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "ledger-fork-proof/v2"},
        {"origin": 5},
        {"origin": "ledger.example/t/6"},
        {"origin": "ledger.example"},
        {"first": {}},
        {"first": {"opening": 5}},
        {"first": {"note": "x"}},
        {"consistency": None},
        {"consistency": ["AAAA"]},
        {"consistency": [5]},
        {"consistency": []},
        {"prefix_root": None},
        {"prefix_root": "AAAA"},
        {"more": 1},
    ],
)
def test_another_form_of_a_fork_proof_is_refused(fork: ForkProof, change: dict[str, Any]) -> None:
    document = json.loads(fork.to_bytes()) | change
    with pytest.raises(MalformedError):
        ForkProof.parse(canonical(document))


def test_a_side_has_one_member_and_the_whole_is_bounded(fork: ForkProof) -> None:
    document = json.loads(fork.to_bytes())
    document["first"]["checkpoint"] = "x"
    for data in (canonical(document), b"[]", b"", b"{}", fork.to_bytes() + b"\n", bytes(9 << 20)):
        with pytest.raises(MalformedError):
            ForkProof.parse(data)


def test_a_consistency_proof_that_is_not_needed_is_refused(world: Any) -> None:
    one, other = opened(world, A, 4), opened(world, B, 4)
    ForkProof(world.origin, one, other)
    for root, path in ((bytes(32), ()), (None, (bytes(32),)), (bytes(32), (bytes(32),) * 64)):
        with pytest.raises(MalformedError):
            ForkProof(world.origin, one, other, root, path)


def test_evidence_of_another_form_is_refused(world: Any) -> None:
    opening = opened(world, A, 4)
    assert AnchoredOpening.parse(opening.to_bytes()) == opening
    without = type(opening.proof)(opening.proof.index, opening.proof.path, opening.proof.note)
    with pytest.raises(MalformedError, match="carries no opening"):
        AnchoredOpening.parse(without.to_bytes())
    with pytest.raises(MalformedError):
        SignedCheckpoint.parse(world.tenant.sign_note(b"ledger-bundle/v1\n", 1))
    signed = SignedCheckpoint(world.signed(world.checkpoint(A, 4)))
    with pytest.raises(VerificationError, match=r"not of 'ledger\.example/t/6'"):
        signed.verify("ledger.example/t/6", keys_only(world))
    with pytest.raises(MalformedError):
        ForkProof("ledger.example/t/6", signed, opening)
    with pytest.raises(VerificationError):
        SignedCheckpoint(Note(b"no checkpoint\n", signed.note.signatures)).verify(world.origin, keys_only(world))
