"""What nobody, with all of the operator's keys, writes into the logs about disputes unnoticed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.cacs.events import CacOverturned
from domain.disputes.events import (
    AboutExecution,
    DisputeAnswered,
    DisputeEvidenceAttached,
    DisputeOpened,
    DisputeOverturned,
    DisputeReferenced,
    DisputeUpheld,
    DisputeWithdrawn,
    Party,
)
from domain.disputes.statements import AnswerSaid, DecideSaid, DocumentSaid, Said, WithdrawSaid
from domain.executions.events import NoticeDelivered, NoticeRequested
from domain.identifiers import stream_of
from domain.message import Event, Recorded
from domain.payloads import StoredPayload
from domain.time import DAY_MS
from infrastructure.audit.disclosure import read_keys
from infrastructure.audit.history import HistoryAudit
from infrastructure.audit.opening import Opener
from infrastructure.client import disputes
from infrastructure.keys.wallet import Wallet
from tests.audit.past import Past, past_of, refused
from tests.commands.cell import Member, founded
from tests.commands.court import Court, about, court, executed
from tests.commands.driver import Driver
from tests.database import TestServer, postgres

__all__ = ["postgres"]

Forged = list[tuple[UUID, Event]]


@dataclass
class Case:
    """A scope's and a tenant's past with a dispute that was overturned, an open one, and one that was withdrawn."""

    there: Court
    member: Member
    scope: Past
    tenant: Past
    overturned: str
    open: str
    withdrawn: str

    def sign(self, said: Said, *wallets: Wallet, iss: str | None = None) -> tuple[str, ...]:
        """Let people sign at the end of the scope's past."""
        return self.scope.govern(said.claims(), *wallets, **({} if iss is None else {"iss": iss}))

    def event(self, topic: str, dispute: str) -> Recorded:
        """Return an event of a dispute."""
        return self.scope.of(topic, dispute_id=dispute)

    def deciding(self, dispute: str, **changes: Any) -> DecideSaid:
        """Return a decision on a dispute as it stands."""
        version = sum(1 for one in self.scope.history if str(one.stream_id) == dispute)
        usual: dict[str, Any] = {
            "dispute": dispute, "role": "resolver", "party": self.scope.tenant.origin, "decision": "upheld",
            "reason": "it stands", "events": version,
        }  # fmt: skip
        return DecideSaid(**{**usual, **changes})


@pytest.fixture(scope="module")
def case(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """A root that asks for two resolvers, and disputes before it."""
    with postgres.database() as name:
        cell = founded(tmp_path_factory.mktemp("case"), postgres.conninfo(name))
        there, member = court(cell), cell.join()
        there.adopt({"rules": [{"kind": "dispute_resolution", "threshold": 2}]})
        _, cac = executed(cell, member)
        overturned = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
        disputes.attach(there.tenant(member), overturned, "gauge", b"1871,1")
        disputes.answer(there.operator(there.operator_of(cac)), overturned, "right")
        disputes.decide(there.bench(*there.judges), overturned, "overturned", "wrong indeed")
        _, other = executed(cell, member)
        (execution,) = cell.place(member)
        Driver(cell, execution).fail()
        opened = disputes.open_dispute(there.bench(), about(other), "doubtful")
        withdrawn = disputes.open_dispute(
            there.tenant(member), AboutExecution(kind="execution", execution_id=execution), "it did not fail"
        )
        disputes.withdraw(there.tenant(member), withdrawn, "it did")
        cell.advance(15 * DAY_MS)
        there.enrol("clerk", cell.wallet("clerk"))  # an entry of that day
        yield Case(
            there, member, past_of(cell, UUID(there.scope.log_id), [cell.root]),
            past_of(cell, member.log_id, member.admins), overturned, opened, withdrawn,
        )  # fmt: skip
        cell.close()


def test_the_pasts_verify_and_every_act_was_decided_again(case: Case, tmp_path: Path) -> None:
    for name, past in (("scope", case.scope), ("tenant", case.tenant)):
        verdict = past.verdict(tmp_path / name)
        assert (verdict.ok, verdict.first_error) == (True, None)
        if name == "scope":
            assert any(text.startswith("7 disputes: each act") for text in verdict.checked), verdict.checked
            assert not any("resolvers" in text or "disclosed" in text for text in verdict.not_checked)


def test_any_choice_of_streams_verifies_and_the_verdict_says_what_it_could_not_tell(case: Case, tmp_path: Path) -> None:
    for name, past in (("scope", case.scope), ("tenant", case.tenant)):
        for at, stream in enumerate(past.streams()):
            one = past.verdict(tmp_path / f"{name}-{at}", streams=[stream])
            assert (one.ok, one.first_error) == (True, None), stream
            rest = [other for other in past.streams() if other != stream]
            most = past.verdict(tmp_path / f"{name}-not-{at}", streams=rest)
            assert (most.ok, most.first_error) == (True, None), stream
    alone = case.scope.verdict(tmp_path / "alone", streams=[UUID(case.overturned)])
    assert any("whose keys decide is not known" in text for text in alone.not_checked)


def test_decisions_that_were_not_made_are_refused(case: Case, tmp_path: Path) -> None:
    one, two = case.there.judges
    stream = UUID(case.open)
    said = case.deciding(case.open)
    forged: list[tuple[str, Forged]] = [
        ("1 of 2", [(stream, DisputeUpheld(
            dispute_id=case.open, reason=said.reason, statements=case.sign(said, one)))]),
        ("twice", [(stream, DisputeUpheld(
            dispute_id=case.open, reason=said.reason, statements=case.sign(said, one, one)))]),
        ("not what its statements say", [(stream, DisputeUpheld(
            dispute_id=case.open, reason="another", statements=case.sign(said, one, two)))]),
        ("something was added", [(stream, DisputeUpheld(
            dispute_id=case.open, reason=said.reason,
            statements=case.sign(case.deciding(case.open, events=2), one, two)))]),
        ("the dispute is over", [(UUID(case.overturned), DisputeUpheld(
            dispute_id=case.overturned, reason="x",
            statements=case.sign(case.deciding(case.overturned, reason="x"), one, two)))]),
        ("of another act or dispute", [(stream, DisputeUpheld(
            dispute_id=case.open, reason="x",
            statements=case.sign(case.deciding(case.overturned, reason="x"), one, two)))]),
        ("not about", [(stream, DisputeOverturned(
            dispute_id=case.open, reason="x", cacs=("cac-0x" + "1" * 32,),
            statements=case.sign(case.deciding(
                case.open, decision="overturned", reason="x", cacs=("cac-0x" + "1" * 32,)), one, two)))]),
        ("another stream", [(uuid4(), DisputeUpheld(
            dispute_id=case.open, reason=said.reason, statements=case.sign(said, one, two)))]),
    ]  # fmt: skip
    for at, (text, events) in enumerate(forged):
        entries = case.scope.then(*events)
        refused(case.scope.verdict(tmp_path / str(at), entries), text, entry=len(case.scope.entries))
    good = [(stream, DisputeUpheld(dispute_id=case.open, reason=said.reason, statements=case.sign(said, one, two)))]
    assert case.scope.verdict(tmp_path / "good", case.scope.then(*good)).ok


def test_acts_out_of_their_time_are_refused(case: Case, tmp_path: Path) -> None:
    opened = case.event("dispute.opened.v1", case.open).event
    assert isinstance(opened, DisputeOpened)
    operator = opened.affected[0].operator
    answer = AnswerSaid(dispute=case.open, role="operator", party=operator, text="late")
    party = Party(role="operator", name=operator)
    late = DisputeAnswered(
        dispute_id=case.open, party=party, text="late",
        statements=case.sign(answer, case.there.operators[operator]),
    )  # fmt: skip
    end = len(case.scope.entries)
    refused(
        case.scope.verdict(tmp_path / "late", case.scope.then((UUID(case.open), late))), "time to answer", entry=end
    )
    early = case.scope.until(case.event("dispute.withdrawn.v1", case.withdrawn))
    one, two = case.there.judges
    said = case.deciding(case.open)
    tokens = early.govern(said.claims(), one, two)
    event = DisputeUpheld(dispute_id=case.open, reason=said.reason, statements=tokens)
    entries = early.then((UUID(case.open), event))
    refused(early.verdict(tmp_path / "early", entries), "decide afterwards", entry=len(early.entries))
    for at, changes in enumerate(({"answer_by_ms": opened.answer_by_ms + DAY_MS}, {"decide_by_ms": 1})):
        entries = case.scope.altered(case.event("dispute.opened.v1", case.open), **changes)
        refused(case.scope.verdict(tmp_path / f"times {at}", entries))


def test_what_was_said_is_what_the_events_say(case: Case, tmp_path: Path) -> None:
    changes: list[tuple[str, str, dict[str, Any]]] = [
        ("dispute.opened.v1", case.overturned, {"grounds": "another"}),
        ("dispute.opened.v1", case.overturned, {"affected": []}),
        ("dispute.opened.v1", case.open, {"party": {"role": "tenant", "name": case.tenant.tenant.origin, "keys": []}}),
        ("dispute.answered.v1", case.overturned, {"text": "another"}),
        ("dispute.answered.v1", case.overturned, {"party": {"role": "operator", "name": "OpX", "keys": []}}),
        ("dispute.evidence_attached.v1", case.overturned, {"title": "another"}),
        ("dispute.evidence_attached.v1", case.overturned, {"number": 1}),
        ("dispute.evidence_attached.v1", case.overturned, {"document": None}),
        ("dispute.evidence_attached.v1", case.overturned, {"document": _payload("0" * 64)}),
        ("dispute.overturned.v1", case.overturned, {"cacs": []}),
        ("dispute.overturned.v1", case.overturned, {"reason": "another"}),
        ("dispute.overturned.v1", case.overturned, {"statements": ["x.y.z"]}),
        ("dispute.withdrawn.v1", case.withdrawn, {"reason": "another"}),
        ("dispute.withdrawn.v1", case.withdrawn, {"dispute_id": case.open}),
    ]
    for at, (topic, dispute, changed) in enumerate(changes):
        recorded = case.event(topic, dispute)
        verdict = case.scope.verdict(tmp_path / str(at), case.scope.altered(recorded, **changed))
        refused(verdict, entry=recorded.leaf_index)


def _payload(digest: str) -> dict[str, Any]:
    return StoredPayload(digest=digest, size_bytes=1, plaintext_digest=digest).model_dump(mode="json")


def test_parties_sign_with_the_keys_that_they_name(case: Case, tmp_path: Path) -> None:
    eve = case.there.cell.wallet("eve")
    origin = case.tenant.tenant.origin
    said = WithdrawSaid(dispute=case.open, role="tenant", party=origin, reason="x")
    party = Party(role="tenant", name=origin, keys=(eve.public("governance").hex(),))
    mine = DisputeWithdrawn(dispute_id=case.open, reason="x", party=party, statements=case.sign(said, eve))
    end = len(case.scope.entries)
    refused(
        case.scope.verdict(tmp_path / "other", case.scope.then((UUID(case.open), mine))),
        "nothing of that id",
        entry=end,
    )
    document = DocumentSaid(
        dispute=case.open, role="resolver", party=case.scope.tenant.origin, title="x", digest="0" * 64
    )
    bench = Party(role="resolver", name=case.scope.tenant.origin)
    attached = DisputeEvidenceAttached(
        dispute_id=case.open, number=0, party=bench, title="x", entry=None, statements=case.sign(document, eve),
        document=StoredPayload(digest="0" * 64, size_bytes=1, plaintext_digest="0" * 64),
    )  # fmt: skip
    refused(case.scope.verdict(tmp_path / "eve", case.scope.then((UUID(case.open), attached))), "enrolled", entry=end)


def test_a_tenants_log_has_what_follows_from_disputes_and_nothing_else(case: Case, tmp_path: Path) -> None:
    past, end = case.tenant, len(case.tenant.entries)
    overturned = past.of("cac.overturned.v1").event
    assert isinstance(overturned, CacOverturned)
    issued = [one.event.payload() for one in past.history if one.event.TOPIC == "cac.issued.v1"]
    other = next(one for one in issued if one["cac_id"] != overturned.cac_id)
    reference = past.of("dispute.referenced.v1", dispute_id=case.overturned).event
    assert isinstance(reference, DisputeReferenced)
    execution = reference.execution_id
    stranger = str(UUID(int=UUID(case.open).int ^ 1))
    forged: list[tuple[str, UUID, Event]] = [
        ("once", stream_of(overturned.cac_id), overturned),
        ("does not refer to", stream_of(other["cac_id"]), overturned.model_copy(
            update={"cac_id": other["cac_id"], "execution_id": other["execution_id"]})),
        ("another stream", stream_of(other["cac_id"]), overturned),
        ("after it was issued", UUID(int=7), overturned.model_copy(update={"cac_id": "cac-0x" + f"{7:032x}"})),
        ("already", stream_of(execution), reference),
        ("does not refer to", stream_of(execution), NoticeRequested(
            execution_id=execution, recipient="court", dispute=stranger, kind="dispute_opened")),
        ("does not refer to", stream_of(execution), NoticeRequested(
            execution_id=execution, recipient="court", kind="dispute_opened")),
        ("not requested", stream_of(execution), NoticeDelivered(
            execution_id=execution, recipient="court", dispute=case.overturned, kind="dispute_opened", how="fetched",
            tries=1)),
        ("in the log of the scope", UUID(case.open), case.event("dispute.opened.v1", case.open).event),
    ]  # fmt: skip
    for at, (text, stream, event) in enumerate(forged):
        refused(past.verdict(tmp_path / str(at), past.then((stream, event))), text, entry=end)


def test_an_audit_that_was_interrupted_anywhere_goes_on(case: Case, tmp_path: Path) -> None:
    past = case.scope
    bundle = past.bundle(tmp_path / "b")
    _, keys = read_keys(bundle)
    items = [Opener(keys, past.tenant.origin).open(entry) for entry in past.entries]

    def audit() -> HistoryAudit:
        return HistoryAudit(past.tenant.origin, lambda _: frozenset({0}))

    whole = audit()
    for item in items:
        whole.follow(item)
    for at in range(1, len(items)):
        first, second = audit(), audit()
        for item in items[:at]:
            first.follow(item)
        position = first.position()
        second.resume(position, [(leaf, items[leaf]) for leaf in position.leaves])
        for item in items[at:]:
            second.follow(item)
        assert second.checked() == whole.checked(), at
