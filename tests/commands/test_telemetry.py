"""Nodes' heartbeats: a chain per node, in buckets, once in an interval; what is wrong is refused and leaves nothing."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from domain.errors import ConflictError, MalformedError, NotAuthorisedError, UnknownError
from domain.hashing import sha256_hex
from domain.identifiers import node_stream, telemetry_stream
from domain.message import Event, Pending
from domain.nodes.events import TelemetryReported
from domain.nodes.telemetry import INTERVAL_MS, report_telemetry, telemetry_claims
from domain.scheduling.silence import SILENT_MS
from domain.statements import REPORT
from infrastructure.client.signing import signed_by
from infrastructure.commands.border import verified
from infrastructure.commands.loading import load_node
from infrastructure.commands.telemetry import load_reported, telemetry
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements.payload import payload
from tests.commands.cell import ENTROPY, Cell

MIB = 1 << 20


_NUMBERS = itertools.count(1)


@dataclass
class Machine:
    """An enrolled node of a test's own."""

    cell: Cell
    name: str
    wallet: Wallet

    def said(self, wallet: Wallet | None = None, **changed: Any) -> str:
        """Return the node's next heartbeat, signed; members may be changed."""
        seq, prev = load_reported(self.cell.ledger, self.name).following
        claims = telemetry_claims(self.name, seq, prev, load_percent=40, free_slots=8, free_memory_bytes=100 * MIB)
        signer = wallet or self.wallet
        content = payload(
            iss=signer.did(Purpose.REPORT), aud=self.cell.ledger.platform().origin, claims={**claims, **changed},
            now_ms=self.cell.clock.now_ms(), entropy=ENTROPY,
        )  # fmt: skip
        return signed_by([signer], REPORT, content)[0]

    def tell(self, token: str | None = None) -> dict[str, Any]:
        """Hand a heartbeat in."""
        return dict(telemetry(self.cell.ledger, token or self.said()).answer)

    def told(self) -> list[TelemetryReported]:
        """Return what is recorded of the node."""
        return [event for event in self.events(telemetry_stream) if isinstance(event, TelemetryReported)]

    def events(self, stream: Callable[[str], UUID]) -> list[Event]:
        """Return all events of one of the node's streams."""
        cell = self.cell
        return [recorded.event for recorded in cell.ledger.stream(cell.ledger.platform().log_id, stream(self.name))]

    def told_before(self) -> None:
        """Record the next heartbeat where a release before 0.2 did: in the node's own stream."""
        ledger = self.cell.ledger
        platform, newest = ledger.platform(), load_reported(ledger, self.name).newest
        keys = load_node(ledger, self.name).keys
        signed = verified(self.said(), typ=REPORT, keys=keys, aud=platform.origin, now_ms=self.cell.clock.now_ms())
        version = len(self.events(node_stream))
        event = report_telemetry(newest, signed, load_node(ledger, self.name).enrolled.kid)
        ledger.append([Pending(platform.log_id, node_stream(self.name), version, event)])


@pytest.fixture
def machine(cell: Cell) -> Machine:
    """Return a node that has said nothing yet."""
    name = f"machine-{next(_NUMBERS)}"
    return Machine(cell, name, cell.enrol(name))


def test_a_heartbeat_is_an_event_in_buckets(machine: Machine) -> None:
    assert machine.tell() == {"accepted": True, "reason": ""}
    (event,) = machine.told()
    assert (event.seq, event.load_percent_bucket, event.free_slots, event.free_memory_bucket) == (0, 6, 8, 27)


def test_the_nodes_own_stream_tells_nothing_of_its_load(cell: Cell, machine: Machine) -> None:
    machine.tell()
    cell.advance(SILENT_MS)
    assert [event.TOPIC for event in machine.events(node_stream)] == ["node.enrolled.v1"]
    assert [event.TOPIC for event in machine.events(telemetry_stream)] == [
        "node.telemetry_reported.v1",
        "node.suspected.v1",
    ]


def test_a_chain_that_began_in_the_nodes_own_stream_goes_on_in_the_other(cell: Cell, machine: Machine) -> None:
    machine.told_before()
    with cell.nothing_written():
        assert not machine.tell()["accepted"]  # the interval counts over both
    cell.clock.advance_to(cell.clock.now_ms() + INTERVAL_MS)
    assert machine.tell()["accepted"]
    assert [event.seq for event in machine.told()] == [1]
    assert load_reported(cell.ledger, machine.name).following[0] == 2


def test_heartbeats_form_a_chain(cell: Cell, machine: Machine) -> None:
    for _ in range(3):
        machine.tell()
        cell.clock.advance_to(cell.clock.now_ms() + INTERVAL_MS)
    assert [event.seq for event in machine.told()] == [0, 1, 2]
    assert load_reported(cell.ledger, machine.name).following == (3, sha256_hex(machine.told()[-1].report.encode()))


def test_within_the_interval_nothing_is_recorded_and_the_number_stays_free(cell: Cell, machine: Machine) -> None:
    machine.tell()
    early = machine.said()
    with cell.nothing_written():
        assert not machine.tell(early)["accepted"]
    cell.clock.advance_to(cell.clock.now_ms() + INTERVAL_MS)
    assert machine.tell(early)["accepted"]


def test_the_same_statement_again_gets_the_first_answer(cell: Cell, machine: Machine) -> None:
    token = machine.said()
    first = machine.tell(token)
    with cell.nothing_written():
        assert machine.tell(token) == first


def test_a_replayed_number_is_refused(cell: Cell, machine: Machine) -> None:
    machine.tell()
    cell.clock.advance_to(cell.clock.now_ms() + INTERVAL_MS)
    with cell.nothing_written(), pytest.raises(ConflictError, match="report 1 is expected"):
        machine.tell(machine.said(seq=0, prev="0" * 64))


@pytest.mark.parametrize("wrong", [{"seq": 5}, {"prev": "1" * 64}])
def test_what_is_out_of_order_is_refused(cell: Cell, machine: Machine, wrong: dict[str, Any]) -> None:
    with cell.nothing_written(), pytest.raises(ConflictError, match="out of order: report 0"):
        machine.tell(machine.said(**wrong))


def test_another_nodes_key_is_refused(cell: Cell, machine: Machine) -> None:
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        machine.tell(machine.said(wallet=cell.nodes["beta"]))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"free_slots": -1}, "free_slots"),
        ({"free_slots": 4097}, "free_slots"),
        ({"load_percent_bucket": 8}, "load_percent_bucket"),
        ({"free_memory_bucket": 65}, "free_memory_bucket"),
        ({"free_memory_bucket": "27"}, "free_memory_bucket"),
        ({"tenant": "x"}, "tenant"),
        ({"kind": "evidence"}, "kind"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(
    cell: Cell, machine: Machine, wrong: dict[str, Any], named: str
) -> None:
    with cell.nothing_written(), pytest.raises(MalformedError, match=named):
        machine.tell(machine.said(**wrong))


def test_a_node_that_is_not_enrolled_is_refused(cell: Cell, machine: Machine) -> None:
    with cell.nothing_written(), pytest.raises(UnknownError, match="delta"):
        machine.tell(machine.said(node="delta"))
