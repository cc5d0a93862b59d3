"""Two bundles of one log, held against each other: one history, or the transferable proof that there are two.

Invariants:
- A fork is named only with the proof that convinces whoever has the keys. "One history" is said only where the smaller
  tree was proven a prefix of the larger one, and every opening that either bundle brings fits it.
- Bundles of two logs, or under other keys, can't be compared: that is neither.
- Memory is constant: openings of both are merged round by round, and proofs come from tiles.
"""

import heapq
from dataclasses import dataclass, replace
from pathlib import Path

from domain.errors import MalformedError, VerificationError
from domain.transparency.anchor_evidence import AnchoredOpening, SignedCheckpoint
from domain.transparency.anchor_forks import MAX_FORK_PROOF_BYTES, ForkProof, ForkReason, contradiction
from domain.transparency.anchor_rounds import Rounds
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, VerifierKey
from domain.transparency.proofs import verify_consistency
from infrastructure.audit.anchored import BundleAudit, Expected, anchors_of, current_keys, read_note
from infrastructure.audit.bundle_openings import read_anchor_checkpoint, read_openings
from infrastructure.audit.witnessed import Judge
from infrastructure.tlog.files import read_file


class NotComparableError(VerificationError):
    """Two bundles from whose difference nothing follows."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of holding bundles against each other.

    `fork` is the proof, where there are two histories. `finding` says it in words; `authentic` tells whether the keys
    came from outside.
    """

    origin: str
    finding: str
    fork: ForkProof | None
    authentic: bool


def compare(one: Path, other: Path, expected: Expected) -> Compared:
    """Hold two bundles of one log against each other.

    Args:
        one: a bundle.
        other: another one, or the same: then its openings are held against its tree.
        expected: keys from outside. Without any, the bundles' own count, where both have the same.

    Raises:
        NotComparableError: when they are of two logs, or came under other keys.
        VerificationError: when what one of them holds is not authentic, or its tiles don't give its root.
    """
    small, large = sorted((one, other), key=_size)
    origin = _origin(large)
    if _origin(small) != origin:
        raise NotComparableError(f"two logs can't be compared: {_origin(small)!a} and {origin!a}")
    if anchors_of(origin) is None:
        raise NotComparableError(f"{origin!a} is no log of this kind: it is not <host>/t/<slot>")
    audits = _opened(small, large, origin, expected)
    authentic = bool(expected.log_keys(origin))
    found = audits[1].rounds(heapq.merge(read_openings(small), read_openings(large), key=_round))
    # What the anchor log's keys alone prove comes first: the log's own may have been rotated since.
    fork = found if isinstance(found, ForkProof) else _of_anchors(audits[1], small, large) or _of_trees(*audits)
    if fork is None and isinstance(found, Rounds):
        return Compared(origin, _one_history(audits, found), None, authentic)
    return Compared(origin, str(fork), fork, authentic)


def check_fork_proof(path: Path, expected: Expected) -> tuple[ForkProof, ForkReason]:
    """Check a fork proof with keys from outside, and nothing else.

    Raises:
        VerificationError: when it is none, or not signed by those keys: then nothing is proven.
    """
    try:
        proof = ForkProof.parse(read_file(path.parent, path.name, MAX_FORK_PROOF_BYTES))
    except MalformedError as error:
        raise VerificationError(f"{path.name}: {error}") from None
    anchors = anchors_of(proof.origin) or proof.origin  # the anchor log itself may have forked
    keys = [key for key in _known(expected) if key.name in (proof.origin, anchors)]
    return proof, proof.verify(Judge(keys, None, anchors))


def _opened(small: Path, large: Path, origin: str, expected: Expected) -> tuple[BundleAudit, BundleAudit]:
    """Open both bundles, to be judged by the same keys."""
    one, other = (BundleAudit.open(path, origin, expected) for path in (small, large))
    keys = tuple(dict.fromkeys((*one.judge.keys, *other.judge.keys)))
    for name in (origin, one.anchors):
        sets = [{key for key in audit.judge.keys if key.name == name} for audit in (one, other)]
        if all(sets) and sets[0] != sets[1] and not (name == origin and _same_chain(small, large, expected)):
            raise NotComparableError(f"the bundles came with other keys of {name!a}: name the right ones with --policy")
    judge = Judge(keys, expected.policy, one.anchors)
    return replace(one, judge=judge), replace(other, judge=judge)


def _same_chain(small: Path, large: Path, expected: Expected) -> bool:
    """Tell whether bundles that were signed by two generations of keys are of one log, rotated in between."""
    if expected.log_keys(_origin(large)):
        return True  # each was found to come from the keys that are known
    try:
        current_keys(large, _checkpoint(large), current_keys(small, _checkpoint(small), ()))
    except VerificationError:
        return False
    return True


def _known(expected: Expected) -> list[VerifierKey]:
    return [*(log.key for log in (expected.policy.logs if expected.policy else ())), *expected.keys]


def _of_trees(small: BundleAudit, large: BundleAudit) -> ForkProof | None:
    """Return the proof that the two signed checkpoints are of two histories."""
    sides = [SignedCheckpoint(audit.tree.note) for audit in (small, large)]
    for side, audit in zip(sides, (small, large), strict=True):
        side.verify(audit.origin, audit.judge)
    fork = contradiction(small.origin, sides[0], sides[1], large.tree)
    if fork is None:
        _require_prefix(small.tree.checkpoint, large)
    return fork


def _require_prefix(old: Checkpoint, large: BundleAudit) -> None:
    new = large.tree.checkpoint
    verify_consistency(old.size, new.size, large.tree.consistency(old.size, new.size), old.root, new.root)


def _of_anchors(audit: BundleAudit, one: Path, other: Path) -> ForkProof | None:
    """Return the proof that the anchor checkpoints of two bundles are two trees of one size."""
    notes = [_anchor_note(path, audit) for path in (one, other)]
    if notes[0] is None or notes[1] is None:
        return None
    return contradiction(audit.anchors, SignedCheckpoint(notes[0]), SignedCheckpoint(notes[1]))


def _anchor_note(path: Path, audit: BundleAudit) -> Note | None:
    signed = read_anchor_checkpoint(path)
    if signed is None:
        return None
    signed.verify(audit.anchors, audit.judge)
    return signed.note


def _one_history(audits: tuple[BundleAudit, BundleAudit], found: Rounds) -> str:
    sizes = " and ".join(str(audit.tree.checkpoint.size) for audit in audits)
    rounds = f"; {found}" if found.runs else "; no round of the anchor log was held against it"
    return f"one history: sizes {sizes}{rounds}"


def _round(opening: AnchoredOpening) -> int:
    return opening.round_index


def _origin(path: Path) -> str:
    return _checkpoint(path).origin


def _size(path: Path) -> int:
    return _checkpoint(path).size


def _checkpoint(path: Path) -> Checkpoint:
    try:
        return Checkpoint.parse(read_note(path).text)
    except MalformedError as error:
        raise VerificationError(f"{path.name}/checkpoint: {error}") from None
