"""The auditor's check of a bundle against the anchor log: one history for everybody, and who vouches for it.

Invariants:
- It comes after the bundle's own verification, and can only take away from its verdict.
- With a policy, the log's and the anchor log's keys must be those of the policy. Without one the anchor log's keys are
  those that came with the bundle, and that is said.
- What no round vouches for is said: entries after the last round, gaps. A bundle that holds less than its rounds is
  refused: whoever made it left out what was published. Only
  what the last round holds is called witnessed, and nothing is where it holds none of the bundle's entries.
- Under a greatest age, entries after the last round must be younger (infrastructure.audit.tail).
- Memory is constant; nothing of the tree is computed again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import LedgerError, MalformedError, VerificationError
from domain.transparency.anchor_evidence import AnchoredOpening
from domain.transparency.anchor_forks import ForkProof
from domain.transparency.anchor_rounds import AuditedTree, Rounds, verify_rounds
from domain.transparency.anchors import anchor_origin
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import MAX_NOTE_BYTES, Note, VerifierKey, parse_note
from domain.transparency.tlog_policy import TlogPolicy
from infrastructure.audit.bundle_openings import brings_anchors, read_anchor_checkpoint, read_anchor_keys, read_openings
from infrastructure.audit.tail import require_young
from infrastructure.audit.trust import Trust
from infrastructure.audit.witnessed import NOT_WITNESSED, Judge, Witnessing, witnessing
from infrastructure.tlog.files import read_file
from infrastructure.tlog.key_chain import Chain, generation_of, read_chain
from infrastructure.tlog.layout import CHECKPOINT, LOG_KEYS, MAX_KEYS_BYTES, parse_keys
from infrastructure.tlog.tree import TileTree
from infrastructure.tlog.verdict import NOT_WITNESSED as NOT_WITNESSED_TEXT
from infrastructure.tlog.verdict import REFUSED, VERIFIED, Verification, naming

UNWITNESSED = "not independently witnessed"
_NO_ROUND = replace(NOT_WITNESSED, why_not="no round of the anchor log is shown")
_NO_ENTRY = replace(NOT_WITNESSED, why_not="the rounds that are shown hold no entry of it")


@dataclass(frozen=True, slots=True)
class Expected:
    """What an auditor knows from outside, and demands.

    Args:
        policy: logs, witnesses and quorum; None where the auditor has none.
        keys: further verifier keys.
        trust: what the tenant gave of the slot's key, where the auditor has it.
        now_unix_s: the auditor's clock.
        max_age_s: how long ago a quorum may have cosigned last; None for any time.
    """

    policy: TlogPolicy | None = None
    keys: Sequence[VerifierKey] = ()
    trust: Trust | None = None
    now_unix_s: int = 0
    max_age_s: int | None = None

    def slot_key(self, origin: str) -> bytes | None:
        """Return the key of a log's slot, where the auditor has it."""
        return self.trust.slot_key if self.trust is not None and self.trust.origin == origin else None

    def acknowledgement_key(self, origin: str | None) -> bytes | None:
        """Return the key of a log's acknowledgements, where the auditor has it."""
        return self.trust.acknowledgement_key if self.trust is not None and self.trust.origin == origin else None

    def log_keys(self, origin: str) -> tuple[VerifierKey, ...]:
        """Return the keys from outside that are named for a log.

        Raises:
            VerificationError: when there is a policy, and it does not know the log.
        """
        found = tuple(key for key in self.keys if key.name == origin)
        if self.policy is None:
            return found
        known = self.policy.log_keys(origin)
        if not known:
            raise VerificationError(f"the policy names no key of {origin!a}")
        return (*known, *(key for key in found if key not in known))


@dataclass(frozen=True, slots=True)
class Anchored:
    """What the anchor log says of a bundle.

    `covered` counts the entries, of `size`, that its last round vouches for. `head_round` is the first round that
    commits to the bundle's own checkpoint, `covered_round` the last that commits to a part of it, `rotation_rounds` the
    first that holds the entry about each later generation of its keys: only where independent witnesses vouch for the
    rounds, under keys of the anchor log from outside.
    """

    history: str
    covered: int
    size: int
    witnessing: Witnessing
    head_round: int | None = None
    covered_round: int | None = None
    rotation_rounds: Mapping[int, int] = field(default_factory=dict)
    fork: ForkProof | None = None

    @property
    def witnessed_size(self) -> int:
        """Return how many entries independent witnesses vouch for."""
        return self.covered if self.witnessing.independent else 0

    @property
    def witnessed(self) -> bool:
        """Tell whether independent witnesses vouch for all of it."""
        return self.witnessing.independent and self.covered == self.size


def verify_anchored(path: Path, verdict: Verification, expected: Expected) -> tuple[Verification, Anchored | None]:
    """Add to the verdict of a bundle what its openings say.

    Args:
        path: the bundle.
        verdict: what its own verification said.
        expected: what the auditor knows and demands.

    Returns:
        The verdict, and what the anchors say; None where that could not be looked at, or nobody asked and the bundle
        says nothing of it. Nothing that lies in the directory raises.
    """
    if not verdict.ok or verdict.origin is None:
        return verdict, None
    try:
        return _verified(path, verdict, verdict.origin, expected)
    except LedgerError as error:
        text = str(error)
        return replace(verdict, ok=False, trust=REFUSED, first_error=_shown(text), checked=()), None


def _verified(
    path: Path, verdict: Verification, origin: str, expected: Expected
) -> tuple[Verification, Anchored | None]:
    if not anchors_of(origin):
        return _of_others(path, verdict, origin, expected), None
    if not brings_anchors(path) and expected.policy is None and expected.max_age_s is None:
        return verdict, None
    signed = read_anchor_checkpoint(path)
    audit = BundleAudit.open(path, origin, expected)
    firsts = _Firsts(origin, audit.tree.checkpoint, verdict.key_notes)
    found, judge = audit.rounds(firsts.noting(read_openings(path))), audit.judge
    if isinstance(found, ForkProof):
        refused = replace(verdict, ok=False, trust=REFUSED, first_error=_shown(str(found)), checked=())
        return refused, Anchored("fork", 0, audit.size, judge.witnessing, fork=found)
    if (
        found.beyond
    ):  # an export takes openings of rounds that were made before it read the log's head, never later ones
        raise VerificationError(
            f"truncated or rolled back: {found.beyond} rounds hold more entries than this bundle's {audit.size}"
        )
    if signed is not None:
        judge(signed.note, signed.verify(audit.anchors, judge))
    anchored = Anchored(str(found), found.covered_size, audit.size, _witnessing(found, audit))
    if found.runs and judge.witnessing.independent and audit.keys_from_outside:
        last = found.runs[-1][1]
        anchored = replace(
            anchored, head_round=firsts.head_round, covered_round=last, rotation_rounds=firsts.rotation_rounds
        )
    if expected.max_age_s is not None:
        _require_fresh(found, judge, anchored, expected)
        require_young(path, origin, range(anchored.covered, audit.size), expected.now_unix_s, expected.max_age_s)
    return _added(verdict, audit, found, anchored, expected), anchored


def _witnessing(found: Rounds, audit: "BundleAudit") -> Witnessing:
    """Return what witnesses say of the bundle: their word about rounds that hold nothing of it is no word about it."""
    if not found.runs:
        return _NO_ROUND
    return audit.judge.witnessing if found.covered_size or not audit.size else _NO_ENTRY


class _Firsts:
    """Notes the first rounds that commit to the bundle's own checkpoint, and that hold the entries about its keys.

    Args:
        origin: the log's.
        head: the bundle's checkpoint.
        chain: the generations of its keys.
    """

    def __init__(self, origin: str, head: Checkpoint, chain: Chain) -> None:
        self._origin = origin
        self._head = head
        self._waiting = list(reversed(chain[1:]))
        self.head_round: int | None = None
        self.rotation_rounds: dict[int, int] = {}

    def noting(self, openings: Iterable[AnchoredOpening]) -> Iterator[AnchoredOpening]:
        """Pass openings on; each is looked at when the next one is asked for: by then it was verified."""
        text = self._head.to_text()
        for opening in openings:
            yield opening
            if self.head_round is None and opening.opening.text == text:
                self.head_round = opening.round_index
            if self._waiting:
                self._look(opening)

    def _look(self, opening: AnchoredOpening) -> None:
        checkpoint = opening.opening.checkpoint(self._origin)
        if checkpoint is None or checkpoint.size > self._head.size:
            return  # a tree that was compared with nothing
        while self._waiting and self._waiting[-1].start.size < checkpoint.size:
            self.rotation_rounds[self._waiting.pop().generation] = opening.round_index


@dataclass(frozen=True, slots=True)
class BundleAudit:
    """One bundle, opened to be held against the anchor log."""

    origin: str
    anchors: str
    tree: AuditedTree
    judge: Judge
    slot_key: bytes | None
    keys_from_outside: bool

    @classmethod
    def open(cls, path: Path, origin: str, expected: Expected) -> "BundleAudit":
        """Open a bundle.

        Raises:
            VerificationError: when its keys are not those that are expected, or its tiles don't give its root.
        """
        anchors = anchor_origin(origin)
        note = read_note(path)
        checkpoint = Checkpoint.parse(note.text)
        given = expected.log_keys(anchors)
        keys = current_keys(path, checkpoint, expected.log_keys(origin))
        judge = Judge((*keys, *(given or read_anchor_keys(path, anchors))), expected.policy, anchors)
        tree = AuditedTree(note, TileTree(path, checkpoint.size).node)
        return cls(origin, anchors, tree, judge, expected.slot_key(origin), bool(given))

    @property
    def size(self) -> int:
        """Return how many entries the bundle has."""
        return self.tree.checkpoint.size

    def rounds(self, openings: Iterable[AnchoredOpening]) -> Rounds | ForkProof:
        """Hold openings against the bundle's tree. Raises as `verify_rounds` does."""
        return verify_rounds(
            openings, origin=self.origin, tree=self.tree, check_note=self.judge, slot_key=self.slot_key
        )


def read_note(path: Path) -> Note:
    """Return the note of a bundle's checkpoint.

    Raises:
        VerificationError: when it is missing or malformed.
    """
    data = read_file(path, CHECKPOINT, MAX_NOTE_BYTES)
    with naming(CHECKPOINT):
        return parse_note(data)


def anchors_of(origin: str) -> str | None:
    """Return the origin of the anchor log that covers a log; None for a log that has none, such as somebody else's."""
    try:
        return anchor_origin(origin)
    except MalformedError:
        return None


def _of_others(path: Path, verdict: Verification, origin: str, expected: Expected) -> Verification:
    """Hold a log that witnesses cosign themselves against the policy."""
    if expected.policy is None:
        return verdict
    expected.log_keys(origin)
    note = read_note(path)
    found = witnessing(expected.policy, origin, note, Checkpoint.parse_extended(note.text))
    if expected.max_age_s is not None:
        found.require_age(expected.now_unix_s, expected.max_age_s)
    checked, not_checked = _told(verdict, found)
    return replace(verdict, trust=_trust(verdict, found), checked=(*verdict.checked, *checked), not_checked=not_checked)


def _told(
    verdict: Verification, found: Witnessing, covered: int | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is added to the things checked, and the new things not checked."""
    not_checked = tuple(it for it in verdict.not_checked if it != NOT_WITNESSED_TEXT)
    if found.since_unix_s is None:
        return (), (f"{UNWITNESSED}: {found.why_not}", *not_checked)
    part = "" if covered in (None, verdict.size) else f"witnessed up to size {covered} of {verdict.size}: "
    since = datetime.fromtimestamp(found.since_unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f"{part}a quorum of witnesses cosigned at {since}: {', '.join(map(ascii, found.cosigned_by))}",
    ), not_checked


def _trust(verdict: Verification, found: Witnessing) -> str:
    if verdict.trust != VERIFIED or found.independent:
        return verdict.trust
    return f"{VERIFIED}; {UNWITNESSED}"


def current_keys(path: Path, checkpoint: Checkpoint, outside: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Return the keys that sign a bundle: those from outside, or later ones to which the chain of key notes leads.

    Raises:
        VerificationError: when they are not, or the chain is broken.
    """
    data = read_file(path, LOG_KEYS, MAX_KEYS_BYTES)
    with naming(LOG_KEYS):
        keys = parse_keys(data, checkpoint.origin)
    chain = read_chain(path, checkpoint, keys)
    for key in outside:
        if key not in keys and generation_of(chain, key) is None:
            raise VerificationError(f"{LOG_KEYS}: the key given from outside, {key.fingerprint}, is not in it")
    return keys


def _require_fresh(found: Rounds, judge: Judge, anchored: Anchored, expected: Expected) -> None:
    """Refuse a quorum that is too old, and rounds that end before the newest [an operator who shows old ones only]."""
    last = found.runs[-1][1] if found.runs else None
    if last is None or last != judge.largest - 1:
        shown = "no round" if last is None else f"round {last}"
        raise VerificationError(
            f"a greatest age is asked for, and {shown} is the newest that is shown of {judge.largest} rounds"
        )
    anchored.witnessing.require_age(expected.now_unix_s, expected.max_age_s or 0)


def _added(
    verdict: Verification, audit: BundleAudit, found: Rounds, anchored: Anchored, expected: Expected
) -> Verification:
    size = audit.size
    checked: list[str] = []
    not_checked: list[str] = []
    if found.runs:
        checked.append(f"{found.verdict}: {found.covered_size} of {size} entries are anchored in {audit.anchors}")
        if size > found.covered_size:
            not_checked.append(f"that {size - found.covered_size} entries after the last round are everybody's")
        if audit.keys_from_outside:
            checked.append("the anchor log's keys came from outside")
        else:
            not_checked.append(f"whose the keys of {audit.anchors} are: they came with the bundle")
    witnessed, before = _told(verdict, anchored.witnessing, anchored.covered)
    return replace(
        verdict,
        trust=verdict.trust if expected.policy is None else _trust(verdict, anchored.witnessing),
        checked=(*verdict.checked, *checked, *witnessed),
        not_checked=(*before, *not_checked),
    )


def _shown(text: str) -> str:
    text = text[:1000]
    return text if text.isprintable() else ascii(text)
