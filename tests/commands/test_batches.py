"""Reports in batches: one statement over many, kept once; what it does not name is nobody's word."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from domain.cacs.events import CacIssued
from domain.errors import (
    ConflictError,
    LedgerError,
    MalformedError,
    NotAuthorisedError,
    RefusedError,
    UnknownError,
    VerificationError,
)
from domain.executions.events import EnclaveStarted, ReportRefused, ReportsReceived, RuntimeReset
from domain.executions.reports import MAX_BATCH
from domain.identifiers import batch_stream
from domain.message import Event
from domain.statements import REPORT
from infrastructure.client.signing import signed_by
from infrastructure.commands.batches import Batch, receive
from infrastructure.commands.executions import report
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Answer
from infrastructure.node.enclosed import Enclosed
from infrastructure.statements.payload import payload
from infrastructure.thaw.restored import commands_of
from tests.audit.test_platform_evidence import audited
from tests.commands.cell import ENTROPY, Cell, Member
from tests.commands.driver import Driver, jcs


class Bare(Driver):
    """A node that says everything but evidence without signing it, until it is sent."""

    def __init__(self, cell: Cell, execution: str) -> None:
        super().__init__(cell, execution)
        self.said: list[tuple[str, Enclosed | None]] = []

    @property
    def origin(self) -> str:
        """The origin of its tenant's log."""
        assert self.assignment is not None
        return self.assignment.origin

    def tell(self, claims: dict[str, Any], enclosed: Enclosed | None = None, **registered: Any) -> Answer:
        if claims["kind"] == "evidence":
            return super().tell(claims, enclosed, **registered)
        text = jcs({"execution": self.execution, "seq": self.seq, "prev": self.prev, **claims}).decode()
        self.said.append((text, enclosed))
        self.seq, self.prev = self.seq + 1, hashlib.sha256(text.encode()).hexdigest()
        return Answer({}, ())


def placed(cell: Cell, count: int = 2) -> tuple[Member, list[Bare]]:
    """Return a new tenant with executions on one node that have run, and of which nothing but evidence was told."""
    member = cell.join()
    member.adopt({"kind": "nodes", "allowed": ["alpha"]})
    drivers = [Bare(cell, cell.place(member)[0]) for _ in range(count)]
    for driver in drivers:
        driver.evidence()
        driver.started()
        driver.completed()
        driver.reset()
    return member, drivers


def batch_token(cell: Cell, wallet: Wallet, origin: str, texts: list[str], **changes: Any) -> str:
    """Sign a batch."""
    said = {"kind": "batch", "reports": [hashlib.sha256(one.encode()).hexdigest() for one in texts]}
    content = payload(
        iss=wallet.did(Purpose.REPORT), aud=origin, claims=said, now_ms=cell.clock.now_ms(), entropy=ENTROPY
    )
    return signed_by([wallet], REPORT, {**content, **changes})[0]


def send(cell: Cell, batch: Batch, said: list[tuple[str, Enclosed | None]]) -> list[Answer]:
    return [report(cell.ledger, cell.decider.catch_up(), text, enclosed, batch) for text, enclosed in said]


def taken(cell: Cell, member: Member, drivers: list[Bare]) -> tuple[str, Batch, list[tuple[str, Enclosed | None]]]:
    """Send everything in one batch, and see that it counts."""
    said = [one for driver in drivers for one in driver.said]
    texts = [text for text, _ in said]
    wallet = cell.nodes["alpha"]
    token = batch_token(cell, wallet, cell.ledger.log(member.log_id).origin, texts)
    batch = receive(cell.ledger, member.log_id, "alpha", token, texts)
    assert all(one.answer == {"accepted": True, "reason": ""} for one in send(cell, batch, said))
    return token, batch, said


def test_reports_of_many_executions_come_in_one_statement_that_is_kept_once(cell: Cell) -> None:
    member, drivers = placed(cell)
    token, batch, said = taken(cell, member, drivers)
    assert len(cell.events(member, CacIssued)) == 2
    (kept,) = [one for one in cell.history(member) if isinstance(one.event, ReportsReceived)]
    assert isinstance(kept.event, ReportsReceived)
    assert (kept.leaf_index, kept.event.statement, kept.event.node) == (batch.leaf_index, token, "alpha")
    assert kept.stream_id == batch_stream("alpha", kept.event.batch)
    assert [event.received for event in cell.events(member, RuntimeReset)] == [kept.leaf_index] * 2
    texts = [text for text, _ in said]
    with cell.nothing_written():  # the same again, and the same reports in another batch
        again = receive(cell.ledger, member.log_id, "alpha", token, texts)
        assert again == batch
        assert all(one.answer["accepted"] for one in send(cell, again, said))
        other = batch_token(cell, cell.nodes["alpha"], drivers[0].origin, texts[:2])
        later = receive(cell.ledger, member.log_id, "alpha", other, texts[:2])
        assert later.leaf_index is None
        assert all(one.answer["accepted"] for one in send(cell, later, said[:2]))


def test_an_audit_finds_the_word_behind_each_report_of_a_batch(cell: Cell) -> None:
    member, drivers = placed(cell)
    taken(cell, member, drivers)
    assert any("batches of node reports" in one for one in audited(cell, member.log_id).checked())

    def changed(kind: type[Event], **update: Any) -> Callable[[Event], Event]:
        return lambda event: event.model_copy(update=update) if isinstance(event, kind) else event

    def restarted(event: Event) -> Event:
        if not isinstance(event, EnclaveStarted):
            return event
        return event.model_copy(update={"report": event.report.replace("started", "reset")})

    for change, says in (
        (changed(EnclaveStarted, received=0), "the batch that names a report is not in the log"),
        (changed(EnclaveStarted, received=None), "entry"),
        (restarted, "the batch that names a report is not in the log"),
        (changed(ReportsReceived, node="beta"), "stands in another stream"),
        (changed(ReportsReceived, batch="0" * 32), "stands in another stream"),
    ):
        with pytest.raises(VerificationError, match=says):
            audited(cell, member.log_id, change)


def test_a_thawed_log_knows_its_batches_again(cell: Cell) -> None:
    member, drivers = placed(cell, 1)
    taken(cell, member, drivers)
    for recorded in cell.history(member):
        if isinstance(recorded.event, ReportsReceived | EnclaveStarted | RuntimeReset):
            (command,) = commands_of(cell.ledger, recorded)
            assert cell.ledger.answered(command) == command.answer


def test_a_report_that_is_out_of_order_in_a_batch_is_recorded_as_refused(cell: Cell) -> None:
    member, (driver,) = placed(cell, 1)
    said = driver.said[1:]
    texts = [text for text, _ in said]
    token = batch_token(cell, cell.nodes["alpha"], driver.origin, texts)
    batch = receive(cell.ledger, member.log_id, "alpha", token, texts)
    assert [one.answer["accepted"] for one in send(cell, batch, said)] == [False, False]
    assert [event.received for event in cell.events(member, ReportRefused)] == [batch.leaf_index] * 2
    audited(cell, member.log_id)
    cell.rest()


def test_a_batch_leaves_nothing_until_a_report_of_it_is_recorded(cell: Cell) -> None:
    member, (driver,) = placed(cell, 1)
    (started, none), (completed, enclosed), *_ = driver.said
    texts = [started, completed]
    assert enclosed is not None
    token = batch_token(cell, cell.nodes["alpha"], driver.origin, texts)
    with cell.nothing_written():
        batch = receive(cell.ledger, member.log_id, "alpha", token, texts)
    assert batch.leaf_index is None
    send(cell, batch, [(started, none)])
    for wrong in (
        None,
        Enclosed(),
        Enclosed(output=b"x", cac=enclosed.cac),
        Enclosed(output=enclosed.output, cac=b"x"),
    ):
        again = batch_token(cell, cell.nodes["alpha"], driver.origin, texts[1:])
        with cell.nothing_written():
            later = receive(cell.ledger, member.log_id, "alpha", again, texts[1:])
            with pytest.raises(MalformedError, match="is not the one that the report names"):
                send(cell, later, [(completed, wrong)])
    assert len(cell.events(member, ReportsReceived)) == 1
    send(cell, batch, driver.said[1:2])
    assert len(cell.events(member, ReportsReceived)) == 1
    cell.rest()


def test_a_batch_over_executions_that_are_over_leaves_nothing_whatever_is_new_in_it(cell: Cell) -> None:
    member, drivers = placed(cell)
    _, _, said = taken(cell, member, drivers)
    last = drivers[0]
    for number in range(3):
        fresh = jcs({"kind": "reset", "execution": last.execution, "seq": number, "prev": "0" * 64}).decode()
        texts = [said[0][0], fresh]
        token = batch_token(cell, cell.nodes["alpha"], last.origin, texts)
        with cell.nothing_written(), pytest.raises(RefusedError, match="is over"):
            receive(cell.ledger, member.log_id, "alpha", token, texts)


def test_a_batch_with_one_report_that_is_none_or_of_anothers_execution_leaves_nothing(cell: Cell) -> None:
    member, (driver,) = placed(cell, 1)
    beta = cell.join()
    beta.adopt({"kind": "nodes", "allowed": ["beta"]})
    theirs = Bare(cell, cell.place(beta)[0]).execution
    good = driver.said[0][0]
    chained = {"seq": 2, "prev": "0" * 64}
    cases: list[tuple[dict[str, Any], type[LedgerError]]] = [
        ({"kind": "reset", "execution": theirs, **chained}, UnknownError),
        ({"kind": "reset", "execution": "exec-0x" + "0" * 32, **chained}, UnknownError),
        ({"kind": "reset", "execution": "wl-0x" + "0" * 32, **chained}, UnknownError),
        ({"kind": "reset", "execution": "nonsense", **chained}, MalformedError),
        ({"kind": "reset", "execution": 7, **chained}, MalformedError),
        ({"kind": "reset", "execution": driver.execution, "seq": -1, "prev": "0" * 64}, MalformedError),
        ({"kind": "reset", "execution": driver.execution}, MalformedError),
        ({"kind": "telemetry", "execution": driver.execution, **chained}, MalformedError),
    ]
    with cell.nothing_written():
        for bad, kind in cases:
            texts = [good, jcs(bad).decode()]
            token = batch_token(cell, cell.nodes["alpha"], driver.origin, texts)
            with pytest.raises(kind):
                receive(cell.ledger, member.log_id, "alpha", token, texts)
    taken(cell, member, [driver])


def test_a_batch_is_its_nodes_word_for_one_log_over_exactly_what_came(cell: Cell) -> None:
    member, (driver,) = placed(cell, 1)
    other, (stranger,) = placed(cell, 1)
    wallet, origin = cell.nodes["alpha"], driver.origin
    texts = [text for text, _ in driver.said]
    evidence = jcs({"kind": "evidence", "execution": driver.execution}).decode()
    claims = jcs({"kind": "started", "iss": "x"}).decode()
    spaced = driver.said[0][0].replace(":", ": ", 1)
    cases: list[tuple[str, list[str], type[LedgerError]]] = [
        (batch_token(cell, cell.nodes["beta"], origin, texts), texts, NotAuthorisedError),
        (batch_token(cell, wallet, stranger.origin, texts), texts, NotAuthorisedError),
        (batch_token(cell, wallet, origin, texts), texts[::-1], MalformedError),
        (batch_token(cell, wallet, origin, texts), texts[:-1], MalformedError),
        (batch_token(cell, wallet, origin, texts[:1] * 2), texts[:1] * 2, MalformedError),
        (batch_token(cell, wallet, origin, []), [], MalformedError),
        (batch_token(cell, wallet, origin, texts, reports=["0" * 64] * (MAX_BATCH + 1)), texts, MalformedError),
        (batch_token(cell, wallet, origin, texts, more=1), texts, MalformedError),
        (batch_token(cell, wallet, origin, texts, kind="started"), texts, MalformedError),
        (batch_token(cell, wallet, origin, [evidence]), [evidence], MalformedError),
        (batch_token(cell, wallet, origin, [claims]), [claims], MalformedError),
        (batch_token(cell, wallet, origin, [spaced]), [spaced], MalformedError),
        (batch_token(cell, wallet, origin, ["[]"]), ["[]"], MalformedError),
    ]
    with cell.nothing_written():
        for token, given, kind in cases:
            with pytest.raises(kind):
                receive(cell.ledger, member.log_id, "alpha", token, given)
    _, batch, _ = taken(cell, member, [driver])
    with cell.nothing_written():
        with pytest.raises(MalformedError, match="does not name"):
            send(cell, batch, stranger.said[:1])
        theirs = [stranger.said[0][0]]
        crossed = batch_token(cell, wallet, origin, theirs)
        with pytest.raises(UnknownError, match="of this node"):
            receive(cell.ledger, member.log_id, "alpha", crossed, theirs)
    again = batch_token(cell, wallet, origin, texts[:1], jti=cell.events(member, ReportsReceived)[0].batch)
    with cell.nothing_written(), pytest.raises(ConflictError):
        receive(cell.ledger, member.log_id, "alpha", again, texts[:1])
    taken(cell, other, [stranger])
