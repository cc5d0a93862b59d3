"""What a tenant can check alone, and that it is found when something does not follow."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.cacs.events import UsageMetered
from domain.canonical import canonical
from domain.errors import VerificationError
from domain.message import Recorded
from domain.transparency.anchors import slot_key
from domain.workloads.events import WorkloadPlaced, WorkloadQueued
from infrastructure.anchors.exporting import bundle_files
from infrastructure.anchors.publisher import AnchorPublisher
from infrastructure.anchors.witnesses import NOBODY
from infrastructure.audit.anchored import Expected
from infrastructure.audit.export import export_bundle
from infrastructure.audit.trust import Trust
from infrastructure.audit.verify import verify_bundle
from infrastructure.conform.bundle import conform_bundle
from infrastructure.conform.own import OwnDecisions
from infrastructure.publish.publisher import Publisher
from infrastructure.redeciding.views import DIGEST, kept_view
from tests.commands.cell import Cell, Member, founded
from tests.commands.driver import Driver
from tests.database import TestServer


@pytest.fixture(scope="module")
def told(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cell, Member, Path]]:
    """A tenant that has lived through three rounds, and its bundle."""
    with postgres.database() as name:
        folder = tmp_path_factory.mktemp("cell")
        cell = founded(folder, postgres.conninfo(name))
        member, other = cell.join(), cell.join()
        member.adopt()
        turn(cell)
        cell.place(other)
        for _ in range(2):
            (execution,) = cell.place(member)
            Driver(cell, execution).whole()
        turn(cell)
        cell.submit(member, clause_id="UNDRR::Disaster::Unregistered@1.0.0")
        member.adopt({"kind": "in_country", "countries": ["KEN"]})
        cell.submit(member)
        cell.settle()
        turn(cell)
        log = cell.ledger.log(member.log_id)
        out = folder / "bundle"
        export_bundle(cell.ledger, member.log_id, out, with_keys="all", further=bundle_files(cell.ledger, log))
        yield cell, member, out
        cell.close()


def turn(cell: Cell) -> None:
    Publisher(cell.ledger).publish()
    AnchorPublisher(cell.ledger, NOBODY).turn()


def test_a_tenant_finds_each_of_its_entries_traced_and_what_follows_from_its_data_true(
    told: tuple[Cell, Member, Path],
) -> None:
    cell, member, bundle = told
    assert verify_bundle(bundle).ok
    log = cell.ledger.log(member.log_id)
    key = slot_key(cell.ledger.keyring.platform_secrets().anchor, log.slot)
    trust = Trust(log.origin, key, bytes(32))
    report = conform_bundle(bundle, Expected(trust=trust))
    size = cell.ledger.head(member.log_id).size
    assert f"{size - 1} entries traced once each, with their own views" in report.checked
    assert report.not_checked == ["1 entries that no round which is shown traces"], "the disclosure itself came later"
    assert "6 decisions that name the policy in force" in report.checked
    assert "3 placements that pass nobody of their class" in report.checked
    assert "2 usage that was held" in report.checked
    assert len(report.engines) == 1
    assert report.commitment


def test_a_bundle_says_nothing_of_other_tenants_entries(told: tuple[Cell, Member, Path]) -> None:
    cell, member, bundle = told
    leaves = [json.loads(line)["leaf"] for index in range(3) for line in lines(bundle / f"traces/{index}.jsonl")]
    assert leaves == list(range(cell.ledger.head(member.log_id).size - 1))


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def rewritten(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    members = [json.loads(line) for line in lines(path)]
    change(members)
    path.write_bytes(b"".join(canonical(one) + b"\n" for one in members))


TRACE = "traces/1.jsonl"
OTHER = "0" * 64
TAMPERING: dict[str, tuple[Callable[[Path], object], str]] = {
    "another kind": (
        lambda path: rewritten(path / TRACE, lambda its: its[0].update(kind="decision")),
        "round 1: entry .* is not traced with its own view as decision",
    ),
    "another order": (lambda path: rewritten(path / TRACE, lambda its: its[0].update(order=OTHER)), "is not traced"),
    "another salt": (lambda path: rewritten(path / TRACE, lambda its: its[0].update(salt=OTHER)), "is not traced"),
    "another place": (lambda path: rewritten(path / TRACE, lambda its: its[0].update(index=255)), "is not traced"),
    "another entry": (
        lambda path: rewritten(path / TRACE, lambda its: its[0].update(leaf=its[1]["leaf"])),
        "traced twice",
    ),
    "left out": (lambda path: rewritten(path / TRACE, lambda its: its.pop(0)), "round 1 vouches for entry"),
    "all left out": (lambda path: (path / TRACE).unlink(), "round 1 vouches for entry"),
    "no opening": (lambda path: (path / "openings/1.tlog-proof").unlink(), "round 1: .*no opening"),
    "another name": (lambda path: (path / TRACE).rename(path / "traces/x"), "traces: "),
    "no line": (lambda path: (path / TRACE).write_bytes(b"{}\n"), "traces/1.jsonl: "),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERING)
def test_a_trace_that_was_tampered_with_is_named(told: tuple[Cell, Member, Path], tmp_path: Path, what: str) -> None:
    bundle = Path(shutil.copytree(told[2], tmp_path / "bundle"))
    change, named = TAMPERING[what]
    change(bundle)
    with pytest.raises(VerificationError, match=named):
        conform_bundle(bundle, Expected())


def follow(history: list[Recorded], change: Callable[[Recorded], Recorded] = lambda one: one) -> OwnDecisions:
    own = OwnDecisions()
    for recorded in history:
        decided = DIGEST in kept_view(recorded, 1) and not isinstance(recorded.event, WorkloadQueued)
        own.take(change(recorded), decided=decided and getattr(recorded.event, "gate", "queue") == "queue")
    return own


def altered(kind: type[Any], **members: Any) -> Callable[[Recorded], Recorded]:
    def change(one: Recorded) -> Recorded:
        return one._replace(event=one.event.model_copy(update=members)) if isinstance(one.event, kind) else one

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (altered(WorkloadPlaced, policy_version=7), "names policy version 7, in force was 1"),
        (altered(WorkloadPlaced, policy_digest=OTHER), "names policy version 1"),
        (altered(WorkloadPlaced, seen=10_000), "considered, which follow it"),
        (altered(WorkloadPlaced, tick=0), "decides earlier|considers less"),
        (altered(WorkloadPlaced, workload_id="wl-0x" + "0" * 32), "not queued"),
        (altered(UsageMetered, slot_ms=10**12), "more than was held"),
        (altered(UsageMetered, memory_mib_ms=1), "more than was held"),
    ],
)
def test_what_does_not_follow_from_a_tenants_own_data_is_named(
    told: tuple[Cell, Member, Path], change: Callable[[Recorded], Recorded], named: str
) -> None:
    cell, member, _ = told
    history = cell.history(member)
    follow(history)
    with pytest.raises(VerificationError, match=named):
        follow(history, change)


def test_who_passes_another_of_its_class_is_named(told: tuple[Cell, Member, Path]) -> None:
    cell, member, _ = told
    history = cell.history(member)
    queued = [one for one in history if isinstance(one.event, WorkloadQueued)]
    earlier = queued[0]._replace(event=queued[0].event.model_copy(update={"workload_id": "wl-0x" + "f" * 32}))
    at = queued[0].leaf_index
    doubled = [*history[:at], earlier._replace(leaf_index=at - 1), *history[at:]]
    with pytest.raises(VerificationError, match=r"was placed before wl-0xf+, which is of its class"):
        follow(doubled)
