"""Usage as it is metered, stated, and verified offline: against the raw events, and against tampering."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from domain.cacs.events import UsageMetered
from domain.canonical import canonical
from domain.errors import MalformedError, RefusedError
from domain.executions.events import ExecutionCompleted, ExecutionReserved, RuntimeReset
from domain.executions.reports import read_report
from domain.message import Recorded
from domain.time import DAY_MS, HOUR_MS
from domain.usage.statements import Line, UsageStatement, statement
from domain.workloads.events import WorkloadQueued, WorkloadSubmitted
from infrastructure.audit.export import export_bundle, log_signer
from infrastructure.audit.verify import verify_bundle
from infrastructure.commands.results import _as_signed
from infrastructure.usage.making import make_statement
from infrastructure.usage.operators import NodeUsage, told
from infrastructure.usage.verifying import LINES, WHOLE, Verdict, verify_statement
from tests.commands.cell import Cell, Member, founded
from tests.commands.driver import Driver
from tests.database import TestServer


@dataclass
class Used:
    """A cell whose tenants used nodes: results, a fault, and an execution whose node fell silent."""

    cell: Cell
    member: Member
    other: Member
    bundle: Path
    said: UsageStatement
    """Made before the bundle was."""

    def stated(self, from_ms: int = 0, to_ms: int = 10**14) -> UsageStatement:
        return make_statement(self.cell.ledger, self.member.log_id, from_ms, to_ms)

    def verify(self, said: UsageStatement, bundle: Path | None = None) -> Verdict:
        key = str(log_signer(self.cell.ledger, self.member.log_id).verifier_keys()[0])
        where = bundle or self.bundle
        return verify_statement(said, where, lambda: verify_bundle(where, log_keys=[key]))


@pytest.fixture(scope="module")
def used(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    with postgres.database() as name:
        folder = tmp_path_factory.mktemp("used")
        cell = founded(folder, postgres.conninfo(name))
        member, other = cell.join(), cell.join()
        for who, slots in ((member, 1), (other, 2), (member, 3)):
            (execution,) = cell.place(who, slots=slots)
            cell.advance(700)
            Driver(cell, execution).whole()
        (execution,) = cell.place(member)
        Driver(cell, execution).fail("fuel")
        cell.advance(DAY_MS)
        (silent,) = cell.place(member)
        Driver(cell, silent).evidence()
        cell.advance(HOUR_MS)
        said = make_statement(cell.ledger, member.log_id, 0, 10**14)
        export_bundle(cell.ledger, member.log_id, folder / "bundle", with_keys="all")
        yield Used(cell, member, other, folder / "bundle", said)
        cell.close()


def slowly(history: list[Recorded]) -> list[dict[str, Any]]:
    """Work out from the raw entries alone what each execution used that got its inputs."""
    found = []
    for metered in (one for one in history if isinstance(one.event, UsageMetered)):
        stream = [one for one in history if one.stream_id == metered.stream_id]
        (reserved,) = (one.event for one in stream if isinstance(one.event, ExecutionReserved))
        (reset,) = (one for one in stream if isinstance(one.event, RuntimeReset))
        queued = next(
            one.event
            for one in history
            if isinstance(one.event, WorkloadQueued) and one.event.workload_id == reserved.workload_id
        )
        inputs = next(
            one.event.inputs
            for one in history
            if isinstance(one.event, WorkloadSubmitted) and one.event.workload_id == reserved.workload_id
        )
        output = sum(one.event.output_bytes for one in stream if isinstance(one.event, ExecutionCompleted))
        reports = [
            read_report(_as_signed(one.event.payload()["report"]))
            for one in stream
            if one.event.TOPIC in {"execution.completed.v1", "execution.faulted.v1"} and one.event.payload()["report"]
        ]
        held_ms = reset.at_ms - reserved.from_ms
        mebibytes = -(-reserved.limits.memory_bytes // 1_048_576)
        found.append({
            "leaf_index": metered.leaf_index, "leaf_hash": metered.leaf_hash.hex(), "node": reserved.node,
            "execution": reserved.execution_id, "slot_ms": queued.facts.slots * held_ms, "tokens": queued.facts.slots,
            "memory_mib_ms": mebibytes * held_ms, "fuel": sum(cast("Any", one).fuel for one in reports),
            "bytes_in": sum(one.size_bytes for one in inputs), "bytes_out": output,
        })  # fmt: skip
    return found


def test_a_statement_equals_what_the_raw_entries_say_and_names_them(used: Used) -> None:
    said = used.stated()
    raw = slowly(used.cell.history(used.member))
    assert len(raw) == 4
    assert [line.model_dump(include=set(raw[0])) for line in said.lines] == raw
    assert said.totals.tokens == 1 + 3 + 1 + 1
    assert min(line.bytes_out for line in said.lines) == 0 < said.totals.bytes_out
    assert {one.operator for one in said.operators} <= {"OpA", "OpB", "OpC"}
    assert said.tenant == used.member.name


def test_what_a_silent_node_held_is_metered_without_fuel(used: Used) -> None:
    last = used.stated().lines[-1]
    assert (last.fuel, last.bytes_out, last.tokens) == (0, 0, 1)
    assert last.slot_ms > 0


def test_parts_of_a_period_sum_to_the_whole(used: Used) -> None:
    whole = used.stated()
    cut = whole.lines[1].at_ms
    first, second = used.stated(0, cut), used.stated(cut)
    assert first.lines + second.lines == whole.lines
    assert first.totals.plus(second.totals) == whole.totals
    assert first.lines
    assert second.lines


def test_it_verifies_offline_against_a_bundle(used: Used) -> None:
    said = statement_of(used)
    verdict = used.verify(said)
    assert (verdict.ok, verdict.whole, verdict.error) == (True, True, None)
    assert {LINES, WHOLE} <= set(verdict.checked)
    assert verdict.trust == "verified"


def statement_of(used: Used, change: Callable[[list[Line]], list[Line]] = list, **members: Any) -> UsageStatement:
    """State the usage, with other lines and sums that add up."""
    said = used.said
    kept = {
        "origin": said.origin, "tenant": said.tenant, "period": (said.from_ms, said.to_ms), "size": said.size,
        "root": bytes.fromhex(said.root),
    }  # fmt: skip
    return statement(change(list(said.lines)), **{**kept, **members})


@pytest.mark.parametrize(
    ("change", "members", "named"),
    [
        (
            lambda lines: [lines[0].model_copy(update={"fuel": 12_345}), *lines[1:]],
            {},
            "does not say what the line says",
        ),
        (lambda lines: [lines[0].model_copy(update={"node": "beta2"}), *lines[1:]], {}, "does not say"),
        (lambda lines: [lines[0].model_copy(update={"leaf_hash": "0" * 64}), *lines[1:]], {}, "does not say"),
        (lambda lines: [lines[0].model_copy(update={"at_ms": 1}), *lines[1:]], {}, "does not say"),
        (lambda lines: lines[1:], {}, "has no line"),
        (lambda lines: [lines[0].model_copy(update={"leaf_index": 0}), *lines], {}, "entry 0 meters nothing"),
        (list, {"root": bytes(32)}, "another root"),
        (list, {"size": 10_000}, "bundle ends at"),
        (list, {"origin": "ledger.example/t/1"}, "another log"),
        (list, {"tenant": "Other/DEU"}, "another tenant's"),
    ],
)
def test_a_statement_that_the_log_does_not_bear_out_is_refused(
    used: Used, change: Callable[[list[Line]], list[Line]], members: dict[str, Any], named: str
) -> None:
    verdict = used.verify(statement_of(used, change, **members))
    assert (verdict.ok, verdict.trust) == (False, "not verified")
    assert named in str(verdict.error)


def test_with_some_streams_only_it_says_that_lines_may_be_missing(used: Used, tmp_path: Path) -> None:
    cell, said = used.cell, used.stated()
    streams = [one.stream_id for one in cell.history(used.member) if isinstance(one.event, UsageMetered)]
    export_bundle(cell.ledger, used.member.log_id, tmp_path / "some", with_keys=",".join(map(str, streams)))
    verdict = used.verify(said, tmp_path / "some")
    assert (verdict.ok, verdict.whole, verdict.error) == (True, False, None)
    assert any("no line is missing" in one for one in verdict.not_checked)
    export_bundle(cell.ledger, used.member.log_id, tmp_path / "none")
    assert "could not be opened" in str(used.verify(said, tmp_path / "none").error)


def test_an_operator_is_told_totals_of_its_nodes_and_no_tenant(used: Used) -> None:
    cell = used.cell
    days = ("1970-01-01", "2100-01-01")
    everything = told(NodeUsage(cell.ledger).rows(days, lambda _: True))
    both = used.stated().totals.plus(make_statement(cell.ledger, used.other.log_id, 0, 10**14).totals)
    assert {name: everything[name] for name in both.model_dump()} == both.model_dump()
    own = told(NodeUsage(cell.ledger).rows(days, lambda operator: operator == "OpA"))
    assert {row["node"] for row in own["nodes"]} == {"alpha"}
    assert told(NodeUsage(cell.ledger).rows(days, lambda _: False))["executions"] == 0
    text = canonical(everything).decode()
    for who in (used.member, used.other):
        assert who.tenant.dao not in text
        assert who.tenant.origin not in text


def test_periods_are_bounded(used: Used) -> None:
    with pytest.raises(MalformedError, match="begins before it ends"):
        used.stated(5, 5)
    with pytest.raises(RefusedError, match="more than 2 executions"):
        make_statement(used.cell.ledger, used.member.log_id, 0, 10**14, 2)
