from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, VerificationError
from domain.transparency.anchor_evidence import AnchoredOpening, SignedCheckpoint
from domain.transparency.anchor_forks import ForkProof, ForkReason
from domain.transparency.anchor_rounds import Rounds, verify_rounds
from domain.transparency.anchors import slot_key
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note
from domain.transparency.proofs import nodes_of

SIZES = st.lists(st.none() | st.integers(0, 3), min_size=1, max_size=10)
"""What each round adds to the tree; None until the first checkpoint is published."""


def accept(_note: Note, _checkpoint: Checkpoint) -> None:
    """Judge no signature."""


def grown(steps: Sequence[int | None]) -> list[int | None]:
    sizes: list[int | None] = []
    for step in steps:
        before = sizes[-1] if sizes else None
        sizes.append(step if before is None else before + (step or 0))
    return sizes


def told(world: Any, sizes: Sequence[int | None], history: str = "a" * 40) -> Any:
    anchors = world.anchors()
    for size in sizes:
        anchors.add(b"" if size is None else world.text(history, size))
    return anchors


def check(world: Any, openings: Sequence[AnchoredOpening], tree: Any, **other: Any) -> Rounds | ForkProof:
    arguments = {"origin": world.origin, "tree": tree, "check_note": accept, "slot_key": world.slot_key, **other}
    return verify_rounds(openings, **arguments)


@given(SIZES, st.integers(0, 5), st.data())
def test_an_honest_operator_has_one_history(
    world: Any, steps: list[int | None], more: int, data: st.DataObject
) -> None:
    sizes = grown(steps)
    openings = told(world, sizes).open_all()
    if data.draw(st.booleans()):
        openings = sorted([*openings, *openings], key=lambda each: each.round_index)
    found = check(world, openings, world.tree("a" * 40, (sizes[-1] or 0) + more))
    assert isinstance(found, Rounds)
    last = len(sizes) - 1
    assert found.verdict == (f"one history in rounds 0..{last}" if last else "only round 0 checked")
    assert found == Rounds(((0, last),), sizes[-1] or 0, 0, 1)


@given(SIZES, st.data())
def test_rounds_left_out_are_not_vouched_for(world: Any, steps: list[int | None], data: st.DataObject) -> None:
    sizes = grown(steps)
    openings = told(world, sizes).open_all()
    kept = data.draw(st.sets(st.integers(0, len(sizes) - 1)))
    found = check(world, [openings[index] for index in sorted(kept)], world.tree("a" * 40, sizes[-1] or 0))
    assert isinstance(found, Rounds)
    assert {index for first, last in found.runs for index in range(first, last + 1)} == kept
    assert all(one[1] + 1 < other[0] for one, other in zip(found.runs, found.runs[1:], strict=False))
    assert (found.verdict == "no round checked") == (not kept)


@given(SIZES, st.data())
def test_any_split_view_is_named_and_proven_to_whoever_has_the_keys(
    world: Any, steps: list[int | None], data: st.DataObject
) -> None:
    """One history for the auditor, another in the anchors from some round on."""
    sizes = [size for size in grown(steps) if size] or [3]
    first = data.draw(st.integers(0, len(sizes) - 1))
    until = data.draw(st.integers(first + 1, len(sizes)))
    forked_at = data.draw(st.integers(0, sizes[first] - 1))
    other = "a" * forked_at + "b" * 40
    anchors = world.anchors()
    for index, size in enumerate(sizes):
        anchors.add(world.text(other if first <= index < until else "a" * 40, size))
    tree = world.tree("a" * 40, sizes[-1] + data.draw(st.integers(0, 3)))
    fork = check(world, anchors.open_all(), tree)
    assert isinstance(fork, ForkProof)
    assert fork.reason in (ForkReason.TWO_ROOTS, ForkReason.NOT_A_PREFIX)
    assert ForkProof.parse(fork.to_bytes()) == fork
    assert ForkProof.parse(fork.to_bytes()).verify(accept) == fork.reason


@given(SIZES, st.data())
def test_a_size_that_falls_is_a_fork_of_two_rounds(world: Any, steps: list[int | None], data: st.DataObject) -> None:
    sizes = [*grown(steps), 4]
    sizes.append(data.draw(st.none() | st.integers(0, 3)))
    sizes = [size if size is None else min(size, 30) for size in sizes]
    openings = told(world, sizes).open_all()
    fork = check(world, openings, world.tree("a" * 40, 40))
    assert isinstance(fork, ForkProof)
    assert fork.reason is ForkReason.SIZE_FELL
    assert fork.verify(accept) is ForkReason.SIZE_FELL
    assert isinstance(fork.first, AnchoredOpening)
    assert "a later round has a smaller tree (round " in str(fork)


def test_a_split_view_convicts_by_the_bundles_own_checkpoint_where_no_round_shares_its_history(world: Any) -> None:
    anchors = told(world, [2, 4, 6], "aabbbbbbbb")
    fork = check(world, anchors.open_all(), world.tree("a" * 40, 9))
    assert isinstance(fork, ForkProof)
    assert fork.reason is ForkReason.NOT_A_PREFIX
    assert isinstance(fork.first, AnchoredOpening)
    assert (fork.first.round_index, fork.second) == (1, SignedCheckpoint(world.tree("a" * 40, 9).note))
    same_size = check(world, anchors.open_all(), world.tree("a" * 40, 4))
    assert isinstance(same_size, ForkProof)
    assert same_size.reason is ForkReason.TWO_ROOTS


def test_a_bundle_that_nobody_signed_is_no_proof_against_the_operator(world: Any) -> None:
    def anchors_only(_note: Note, checkpoint: Checkpoint) -> None:
        if checkpoint.origin == world.origin:
            raise VerificationError("not signed")

    with pytest.raises(VerificationError, match="round 1 contradicts the bundle, which is not authentic: not signed"):
        check(world, told(world, [2, 4], "aabb").open_all(), world.tree("a" * 40, 9), check_note=anchors_only)


def test_rounds_with_more_entries_than_the_tree_are_counted_and_not_vouched_for(world: Any) -> None:
    found = check(world, told(world, [None, 2, 5, 7]).open_all(), world.tree("a" * 40, 3))
    assert found == Rounds(((0, 1),), 2, 2, 1)
    assert str(found).startswith("one history in rounds 0..1; 2 rounds hold more entries")
    assert str(check(world, [], world.tree("a" * 40, 3))) == "no round checked"


def test_slots_double_and_never_halve(world: Any) -> None:
    anchors = world.anchors()
    for slots in (64, 128, 512):
        anchors.slots = slots
        anchors.add(world.text("a" * 40, 2))
    assert check(world, anchors.open_all(), world.tree("a" * 40, 2)).verdict == "one history in rounds 0..2"  # type: ignore[union-attr]
    anchors.slots = 256
    anchors.add(world.text("a" * 40, 2))
    fork = check(world, anchors.open_all(), world.tree("a" * 40, 2))
    assert isinstance(fork, ForkProof)
    assert fork.verify(accept) is ForkReason.SLOTS_FELL


def test_two_entries_for_one_round_prove_a_fork_of_the_anchor_log(world: Any) -> None:
    one, other = told(world, [2, 4]), told(world, [2, 3])
    fork = check(world, [one.open(0, size=1), one.open(1), other.open(1)], world.tree("a" * 40, 4), check_note=accept)
    assert isinstance(fork, ForkProof)
    assert fork.verify(accept) is ForkReason.ROUND_TWICE


def test_two_roots_of_the_anchor_log_at_one_size_prove_its_fork(world: Any) -> None:
    one, other = told(world, [2, 4, 4]), told(world, [2, 4, 5])
    fork = check(world, [one.open(0), other.open(1)], world.tree("a" * 40, 4))
    assert isinstance(fork, ForkProof)
    assert (fork.origin, fork.verify(accept)) == (world.anchors_origin, ForkReason.TWO_ROOTS)
    assert ForkProof.parse(fork.to_bytes()) == fork


def test_an_audit_keeps_few_anchor_trees_however_many_rounds_there_are(world: Any) -> None:
    anchors = told(world, [1] * 70)
    openings = [anchors.open(index, size=index + 1) for index in range(70)]
    found = check(world, openings, world.tree("a" * 40, 1))
    assert isinstance(found, Rounds)
    assert found.anchor_trees == 70


def test_rounds_proven_in_several_anchor_trees_count_them(world: Any) -> None:
    anchors = told(world, [1, 2, 3])
    openings = [anchors.open(index, size=index + 1) for index in range(3)]
    found = check(world, openings, world.tree("a" * 40, 3))
    assert isinstance(found, Rounds)
    assert found.anchor_trees == 3
    assert found.runs == ((0, 2),)


def test_each_distinct_note_is_judged_once(world: Any) -> None:
    judged: list[int] = []
    anchors = told(world, [1, 2, 3, 4])
    openings = [anchors.open(0, size=2), anchors.open(1, size=2), anchors.open(2), anchors.open(3)]
    check(world, openings, world.tree("a" * 40, 4), check_note=lambda _note, of: judged.append(of.size))
    assert judged == [2, 4]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda of: replace(of, index=0), "round 0: .*blind"),
        (lambda of: replace(of, index=0, path=()), "round 0: "),
        (lambda of: replace(of, index=7), "round 7: .*"),
        (lambda of: replace(of, path=of.path[:-1]), "round 1: a proof of"),
        (lambda of: replace(of, path=(bytes(32), *of.path[1:])), "round 1: .*another root"),
        (lambda of: replace(of, extra=of.extra[:-1]), "round 1: "),
        (lambda of: replace(of, extra=None), "carries no opening"),
        (lambda of: replace(of, extra=of.extra[:48] + bytes(32) + of.extra[80:]), "round 1: .*another root"),
        (
            lambda of: replace(of, note=Note(of.note.text.replace(b"/anchors", b"/t/0"), of.note.signatures)),
            "anchored in",
        ),
        (lambda of: replace(of, note=Note(of.note.text + b"more\n", of.note.signatures)), "exactly three lines"),
    ],
)
def test_an_opening_that_does_not_verify_is_named_by_its_round(world: Any, change: Any, error: str) -> None:
    openings = told(world, [1, 2, 3]).open_all()
    with pytest.raises((VerificationError, MalformedError), match=error):
        check(world, [AnchoredOpening(change(openings[1].proof))], world.tree("a" * 40, 3))


def test_the_blind_is_checked_by_whoever_has_the_slots_key(world: Any) -> None:
    openings = told(world, [1, 2, 3]).open_all()
    for wrong in (slot_key(world.secret, 6), bytes(32)):
        with pytest.raises(VerificationError, match="round 0: the blind"):
            check(world, openings, world.tree("a" * 40, 3), slot_key=wrong)
    assert isinstance(check(world, openings, world.tree("a" * 40, 3), slot_key=None), Rounds)


def test_another_logs_slot_is_not_taken_for_ours(world: Any) -> None:
    anchors = told(world, [1])
    with pytest.raises(VerificationError, match="round 0: the opening is of slot 6"):
        check(world, [anchors.open(0, slot=6)], world.tree("a" * 40, 3))
    anchors = world.anchors()
    anchors.add(Checkpoint("ledger.example/t/6", 0, world.checkpoint("a", 0).root).to_text())
    with pytest.raises(VerificationError, match=r"holds a checkpoint of 'ledger.example/t/6'"):
        check(world, [anchors.open(0)], world.tree("a" * 40, 3))


def test_fewer_slots_than_the_bound_are_refused_unless_the_reader_lowers_it(world: Any) -> None:
    anchors = told(world, [1])
    tree = world.tree("a" * 40, 3)
    with pytest.raises(VerificationError, match="from 128"):
        check(world, anchors.open_all(), tree, minimum_slots=128)


def test_rounds_out_of_order_and_trees_of_others_are_refused(world: Any) -> None:
    openings = told(world, [1, 2]).open_all()
    with pytest.raises(MalformedError, match="round 0 comes after round 1"):
        check(world, openings[::-1], world.tree("a" * 40, 3))
    with pytest.raises(MalformedError, match="the tree is of"):
        check(world, openings, world.tree("a" * 40, 3), origin="ledger.example/t/6")


def test_a_tree_that_does_not_lead_to_its_checkpoint_is_refused(world: Any) -> None:
    tree = world.tree("a" * 40, 5)
    with pytest.raises(VerificationError, match="another root than its checkpoint"):
        type(tree)(tree.note, nodes_of(world.leaves("aab" * 9, 5)))


def test_a_signature_that_is_not_accepted_ends_the_audit(world: Any) -> None:
    def refuse(_note: Note, _checkpoint: Checkpoint) -> None:
        raise VerificationError("not signed by anybody")

    with pytest.raises(VerificationError, match="round 0: not signed by anybody"):
        check(world, told(world, [1]).open_all(), world.tree("a" * 40, 3), check_note=refuse)
