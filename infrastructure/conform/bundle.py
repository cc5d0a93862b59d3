"""Checks a tenant's bundle: its entries in the rounds' traces, and the decisions about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from domain.errors import VerificationError
from domain.message import Recorded
from domain.scheduling.views import View, as_version_1, view_bytes
from domain.transparency.anchors import slot_of
from domain.transparency.hashing import EMPTY_ROOT
from domain.transparency.traces import Kind, entry_salt, trace_value, verify_place
from infrastructure.audit.anchored import BundleAudit, Expected
from infrastructure.audit.bundle_openings import read_openings
from infrastructure.audit.disclosure import read_keys
from infrastructure.audit.opening import opened_entries
from infrastructure.conform.own import COMMITMENT, OwnDecisions, nobody_elses
from infrastructure.redeciding.views import kept_view
from infrastructure.tlog.reader import read_checkpoint, read_entries
from infrastructure.tracing.own import OwnEntry, read_own


@dataclass(frozen=True, slots=True)
class _Placed:
    round_index: int
    root: bytes
    own: OwnEntry


@dataclass
class OwnReport:
    """What a tenant's bundle shows: what was checked, and what it can't tell."""

    origin: str
    size: int
    checked: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)
    engines: Mapping[str, int] = field(default_factory=dict)
    commitment: tuple[str, ...] = COMMITMENT


def conform_bundle(path: Path, expected: Expected) -> OwnReport:
    """Check a bundle that was verified before (`audit verify`), with its keys.json.

    Raises:
        VerificationError: naming the round or the entry, and what does not follow.
        MalformedError: when a file is not of its format.
    """
    checkpoint = read_checkpoint(path)
    origin, keys = read_keys(path)
    if origin != checkpoint.origin:
        raise VerificationError("keys.json belongs to another log")
    audit = BundleAudit.open(path, origin, expected)
    roots, sizes = _rounds(path, audit)
    placed = _placed(path, roots)
    _require_in_time(placed, roots, sizes)
    slot, slot_key, own = slot_of(origin), expected.slot_key(origin), OwnDecisions()
    hidden = traced = undecided = 0
    for index, recorded in enumerate(opened_entries(read_entries(path), keys, origin)):
        one = placed.get(index)
        if recorded is None:
            hidden += 1
            continue
        if one is not None:
            _require_traced(one, recorded, slot, slot_key)
            traced += 1
            undecided += one.own.kind is Kind.INPUT and nobody_elses(recorded.event)
        if not hidden:
            own.take(recorded, decided=one is not None and one.own.kind is Kind.DECISION)
    report = OwnReport(origin, checkpoint.size, engines=dict(own.engines))
    report.checked = [f"{traced} entries traced once each, with their own views"]
    report.checked += [f"{count} {what}" for what, count in sorted(own.checked.items())]
    if hidden:
        report.not_checked.append(f"{hidden} entries whose keys are not disclosed, and what follows them")
    if undecided:
        report.not_checked.append(
            f"{undecided} decisions that are traced as inputs: brought back after a restore, or nobody's"
        )
    if checkpoint.size - len(placed):
        report.not_checked.append(f"{checkpoint.size - len(placed)} entries that no round which is shown traces")
    return report


def _rounds(path: Path, audit: BundleAudit) -> tuple[dict[int, bytes], dict[int, int]]:
    """Return the trace roots of the rounds that are shown, and how many entries each vouches for."""
    roots: dict[int, bytes] = {}
    sizes: dict[int, int] = {}
    for opening in read_openings(path):
        committed = opening.verify(audit.origin, audit.judge, slot_key=audit.slot_key)
        roots[opening.round_index] = opening.opening.trace_root
        sizes[opening.round_index] = 0 if committed is None else committed.size
    return roots, sizes


def _placed(path: Path, roots: Mapping[int, bytes]) -> dict[int, _Placed]:
    placed: dict[int, _Placed] = {}
    for index, entries in read_own(path):
        root = roots.get(index)
        if root is None:
            raise VerificationError(f"round {index}: its trace is shown, and no opening of it")
        for own in entries:
            if own.leaf in placed:
                raise VerificationError(f"round {index}: entry {own.leaf} is traced twice")
            placed[own.leaf] = _Placed(index, root, own)
    return placed


def _require_in_time(placed: Mapping[int, _Placed], roots: Mapping[int, bytes], sizes: Mapping[int, int]) -> None:
    """Demand of each entry which a round vouches for that it is traced by that round, or an earlier one.

    Rounds without a trace, and what was traced before the first one that is shown, can tell nothing.
    """
    first = min(placed, default=None)
    for index in sorted(roots):
        if roots[index] == EMPTY_ROOT or first is None:
            continue
        for leaf in range(first, sizes[index]):
            one = placed.get(leaf)
            if one is None or one.round_index > index:
                raise VerificationError(f"round {index} vouches for entry {leaf}, which is not traced by then")
        first = max(first, sizes[index])


def _require_traced(one: _Placed, recorded: Recorded, slot: int, slot_key: bytes | None) -> None:
    own, index = one.own, one.round_index
    if slot_key is not None and entry_salt(slot_key, index, recorded.leaf_hash) != own.salt:
        raise VerificationError(f"round {index}: the salt of entry {own.leaf} is not that of the slot's key")
    view = kept_view(recorded, slot)
    try:
        _verify_place(one, recorded, view)
    except VerificationError as error:
        try:
            _verify_place(one, recorded, as_version_1(view))  # as a round before version 2 bound it
        except VerificationError:
            raise VerificationError(
                f"round {index}: entry {own.leaf} is not traced with its own view as {own.kind.name.lower()}: {error}"
            ) from None


def _verify_place(one: _Placed, recorded: Recorded, view: View) -> None:
    own, digest = one.own, sha256(view_bytes(view)).digest()
    value = trace_value(own.salt, own.kind, recorded.leaf_hash, digest, own.order)
    verify_place(value, own.at, own.size, own.path, one.root)
