"""Bundles of a tenant and of scopes with grants, scopes and monitors in them: verified, and refused when forged."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.canonical import canonical
from domain.identifiers import execution_id
from domain.message import Event
from domain.quotas.events import Quota, QuotaBorrowed, QuotaLent
from domain.time import DAY_MS
from domain.workloads.events import OverflowAccepted, OverflowClosed, OverflowOffered, StandingOffer, WorkloadPlaced
from infrastructure.audit.replay import replay_bundle, replay_log
from infrastructure.client import acts, governance
from infrastructure.keys.wallet import Wallet
from infrastructure.statements import jws
from infrastructure.thaw.restored import commands_of
from infrastructure.tlog.verdict import Verification
from tests.audit.past import Past, past_of, refused
from tests.commands.cell import CLASS, FAMILIES, Cell, founded
from tests.database import TestServer, postgres

__all__ = ["postgres"]


@dataclass
class Governed:
    """A cell with a treaty of two admins below the root, and a tenant below the treaty."""

    cell: Cell
    tenant: Past
    treaty: Past
    root: Past


@pytest.fixture(scope="module")
def governed(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    """A cell in which every act of governance happened."""
    with postgres.database() as name:
        cell = founded(tmp_path_factory.mktemp("cell"), postgres.conninfo(name))
        yield live(cell)
        cell.close()


def live(cell: Cell) -> Governed:
    """Let every act of governance happen."""
    keys: list[Wallet] = [cell.wallet("first"), cell.wallet("second")]
    governance.grant_quota(
        cell.ledger, [cell.root], acts.root_scope(cell.ledger), slots=Quota(nominal=100, lend=50), weight=1
    )
    treaty = governance.register_scope(
        cell.ledger, name="Rhine", kind="treaty", admins=keys, threshold=2, parent_admins=[cell.root]
    )
    governance.grant_quota(cell.ledger, [cell.root], treaty, slots=Quota(nominal=40, borrow=10, lend=20))
    admins = [cell.wallet("admin")]
    tenant = acts.register_tenant(
        cell.ledger, dao="RhineDAO", jurisdiction="DEU", admins=admins, root_admins=keys, scope=treaty,
        families=FAMILIES, resource_classes=[CLASS],
    )  # fmt: skip
    log_id = UUID(tenant.log_id)
    governance.grant_quota(cell.ledger, keys, tenant, slots=Quota(nominal=4, borrow=4))
    now = past_of(cell, log_id, admins).tenant
    governance.grant_tokens(
        cell.ledger, keys, now, tokens=6, period_ms=60_000, burst=3, until_ms=cell.clock.now_ms() + DAY_MS
    )
    now = past_of(cell, log_id, admins).tenant
    governance.appoint_monitor(cell.ledger, now, admins, "RhineMonitor")
    root = acts.root_scope(cell.ledger)
    return Governed(
        cell,
        past_of(cell, log_id, admins),
        past_of(cell, UUID(treaty.log_id), keys),
        past_of(cell, UUID(root.log_id), [cell.root]),
    )


def test_bundles_of_tenant_scope_and_root_verify_and_say_what_rests_on_other_logs(
    governed: Governed, tmp_path: Path
) -> None:
    for name, past in (("tenant", governed.tenant), ("treaty", governed.treaty), ("root", governed.root)):
        verdict = past.verdict(tmp_path / name)
        assert verdict.ok, verdict.first_error
    not_checked = " ".join(governed.tenant.verdict(tmp_path / "again").not_checked)
    assert "grants of quotas and tokens" in not_checked
    assert "endorsements of a scope" in " ".join(governed.treaty.verdict(tmp_path / "scope").not_checked)
    assert "grants of quotas" not in " ".join(governed.root.verdict(tmp_path / "root again").not_checked)


FORGED: list[tuple[str, dict[str, Any]]] = [
    ("tenant.quota_granted.v1", {"slots": {"nominal": 400, "borrow": 4, "lend": 0}}),
    ("tenant.quota_granted.v1", {"weight": 1000}), ("tenant.quota_granted.v1", {"version": 2}),
    ("tenant.quota_granted.v1", {"slots": None}), ("tenant.quota_granted.v1", {"granted_by": "ledger.example/t/9"}),
    ("tenant.quota_granted.v1", {"statements": []}),
    ("tenant.bandwidth_granted.v1", {"burst": 300}), ("tenant.bandwidth_granted.v1", {"until_ms": 2**44}),
    ("tenant.monitor_appointed.v1", {"name": "Friend"}), ("tenant.monitor_appointed.v1", {"kind": "parent_dao"}),
    ("tenant.monitor_appointed.v1", {"statements": []}),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "change"), FORGED, ids=[f"{at}" for at in range(len(FORGED))])
def test_a_grant_or_appointment_that_is_told_otherwise_is_found(
    governed: Governed, tmp_path: Path, topic: str, change: dict[str, Any]
) -> None:
    entry = governed.tenant.of(topic)
    verdict = governed.tenant.verdict(tmp_path / "forged", governed.tenant.altered(entry, **change))
    refused(verdict, entry=entry.leaf_index)


def test_a_grant_that_is_repeated_or_signed_twice_by_one_key_is_found(governed: Governed, tmp_path: Path) -> None:
    past = governed.tenant
    entry = past.of("tenant.quota_granted.v1")
    refused(past.verdict(tmp_path / "again", past.then((entry.stream_id, entry.event))), "was used in entry")
    tokens = entry.event.payload()["statements"]
    assert len(tokens) == 2
    twice = past.altered(entry, statements=[tokens[0], tokens[0]])
    refused(past.verdict(tmp_path / "twice", twice), "twice by one key", entry=entry.leaf_index)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Rhone"},
        {"kind": "jurisdiction"},
        {"threshold": 1},
        {"issuers": []},
        {"endorsements": []},
        {"parent": "x"},
    ],
    ids=str,
)
def test_a_scope_whose_registration_is_told_otherwise_is_found(
    governed: Governed, tmp_path: Path, change: dict[str, Any]
) -> None:
    entry = governed.treaty.of("scope.registered.v2")
    refused(governed.treaty.verdict(tmp_path / "forged", governed.treaty.altered(entry, **change)), entry=0)


def test_the_roots_own_grant_is_checked_to_its_keys(governed: Governed, tmp_path: Path) -> None:
    past, (stranger,) = governed.root, [governed.cell.wallet("stranger")]
    entry = past.of("tenant.quota_granted.v1")
    claims = {name: value for name, value in _payload(entry.event.payload()["statements"][0]).items() if len(name) > 3}
    forged = past.altered(entry, statements=list(past.govern(claims, stranger)))
    refused(past.verdict(tmp_path / "forged", forged), entry=entry.leaf_index)


def _payload(token: str) -> dict[str, Any]:
    return dict(jws.peek(token)[1])


def test_a_tenant_lends_nothing_and_a_scope_does(governed: Governed, tmp_path: Path) -> None:
    lent = QuotaLent(borrow_id="bor-0x" + "0" * 32, slots=1, memory_bytes=0, tick=1, engine="e")
    stream, own = UUID(int=0), governed.treaty.history[0].stream_id
    assert governed.treaty.verdict(tmp_path / "once", governed.treaty.then((stream, lent))).ok
    refused(governed.treaty.verdict(tmp_path / "again", governed.treaty.then((stream, lent), (stream, lent))), "once")
    refused(governed.treaty.verdict(tmp_path / "own", governed.treaty.then((own, lent))), "another stream")
    refused(governed.tenant.verdict(tmp_path / "tenant", governed.tenant.then((stream, lent))), "by scopes")


# Borrowing and overflow: what a tenant's own log tells of them


@dataclass
class Placing:
    """A past that ends with a placement, and events of it that the decider could have written."""

    past: Past
    before: Past
    stream: UUID
    offered: OverflowOffered
    placed: WorkloadPlaced
    borrowed: QuotaBorrowed

    def verdict(self, out: Path, *events: Event) -> Verification:
        """Return what is said of the past before the placement with these events after it."""
        return self.before.verdict(out, self.before.then(*((self.stream, event) for event in events)))


@pytest.fixture
def placing(early: Past) -> Placing:
    """The first placement of the tenant's past."""
    entry = early.of("workload.placed.v1")
    placed = entry.event
    assert isinstance(placed, WorkloadPlaced)
    named = placed.model_dump(
        include={"workload_id", "attempt", "engine", "policy_version", "policy_digest", "seen", "tick"}
    )
    first = execution_id(early.tenant.origin, placed.workload_id, placed.attempt, 0)
    digits = hashlib.sha256(b"ledger borrow id v1\0" + first.encode()).hexdigest()[:32]
    borrowed = QuotaBorrowed(borrow_id=f"bor-0x{digits}", slots=1, memory_bytes=0, lender="h/t/3", **named)
    offered = OverflowOffered(
        offer_id="off-0x" + "1" * 32, nodes=(placed.places[0].node,), expires_ms=early.at_ms + 1, **named
    )
    before = early.until(early.history[entry.leaf_index - 1])
    return Placing(early, before, entry.stream_id, offered, placed, borrowed)


def taken(offered: OverflowOffered, **changes: Any) -> OverflowAccepted:
    """Return the acceptance of an offer."""
    digest = hashlib.sha256(canonical(offered.payload())).hexdigest()
    usual: dict[str, Any] = {
        "offer_hash": digest,
        "standing": (StandingOffer(pool="secondary", operator="OpA", number=0, statement="1" * 64),),
    }
    named = {"workload_id": offered.workload_id, "attempt": offered.attempt, "offer_id": offered.offer_id}
    return OverflowAccepted(**{**usual, **named, **changes})


def closed(offered: OverflowOffered, **changes: Any) -> OverflowClosed:
    """Return the end of an offer."""
    named = {"workload_id": offered.workload_id, "attempt": offered.attempt, "offer_id": offered.offer_id}
    return OverflowClosed(**{**named, "reason": "placed", **changes})


def test_a_placement_that_borrows_and_overflows_verifies(placing: Placing, tmp_path: Path) -> None:
    offered, placed = placing.offered, placing.placed
    whole = (offered, taken(offered), placed, placing.borrowed, closed(offered))
    verdict = placing.verdict(tmp_path / "whole", *whole)
    assert verdict.ok, verdict.first_error
    assert "borrowings: what the scope above had idle" in " ".join(verdict.not_checked)
    later = offered.model_copy(update={"offer_id": "off-0x" + "2" * 32})
    again = (offered, closed(offered, reason="expired"), later, taken(later), placed, closed(later))
    assert placing.verdict(tmp_path / "again", *again).ok


def test_a_borrowing_that_does_not_follow_from_its_placement_is_found(placing: Placing, tmp_path: Path) -> None:
    borrowed, placed = placing.borrowed, placing.placed
    wrong: list[tuple[Event, ...]] = [
        (borrowed,), (borrowed, placed), (placed, borrowed, borrowed),
        (placed, borrowed.model_copy(update={"borrow_id": "bor-0x" + "0" * 32})),
        (placed, borrowed.model_copy(update={"attempt": 2})), (placed, borrowed.model_copy(update={"slots": 0})),
    ]  # fmt: skip
    for number, events in enumerate(wrong):
        refused(placing.verdict(tmp_path / f"{number}", *events), "borrow")


def test_an_offer_out_of_order_is_found(placing: Placing, tmp_path: Path) -> None:
    offered, placed = placing.offered, placing.placed
    elsewhere = offered.model_copy(update={"nodes": ("omega",)})
    wrong: list[tuple[Event, ...]] = [
        (placed, offered), (offered, offered), (taken(offered),), (closed(offered),),
        (offered, taken(offered, offer_hash="0" * 64)), (offered, taken(offered, offer_id="off-0x" + "2" * 32)),
        (offered, closed(offered)), (elsewhere, taken(elsewhere), placed, closed(elsewhere)),
        (offered, closed(offered, reason="refused"), taken(offered)), (offered.model_copy(update={"attempt": 2}),),
    ]  # fmt: skip
    for number, events in enumerate(wrong):
        refused(placing.verdict(tmp_path / f"{number}", *events))


def test_what_was_replayed_from_a_bundle_equals_the_database_and_names_what_was_granted(
    governed: Governed, tmp_path: Path
) -> None:
    for name, past in (("tenant", governed.tenant), ("treaty", governed.treaty)):
        replayed = replay_bundle(past.bundle(tmp_path / name))
        assert replayed.digest == replay_log(governed.cell.ledger, UUID(past.tenant.log_id)).digest
        rows = replayed.rows["directory_v2"]
        assert rows["quota"]["version"] == 1
    rows = replay_bundle(governed.tenant.bundle(tmp_path / "rows")).rows["directory_v2"]
    assert rows["tokens"]["burst"] == 3
    assert rows["monitor/RhineMonitor"]["kind"] == "treaty_monitor"


def test_every_command_of_these_acts_follows_from_its_event(governed: Governed) -> None:
    ledger = governed.cell.ledger
    for past in (governed.tenant, governed.treaty, governed.root):
        for recorded in past.history:
            for command in commands_of(ledger, recorded):
                assert ledger.answered(command) is not None, recorded.event.TOPIC  # the same issuer, id and body
            if recorded.event.TOPIC in {"scope.registered.v2", "tenant.quota_granted.v1"}:
                (first, *_) = commands_of(ledger, recorded)
                assert canonical(dict(ledger.answered(first) or {})) == canonical(dict(first.answer))
