"""What an auditor finds of platforms' evidence: in a tenant's log its appraisals, in the platform log its machines."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.attestation.events import (
    AppraisalKept,
    CollateralSeen,
    NodeChallenged,
    NodeEvidenceAppraised,
    PlatformEvidenceAppraised,
    ResultKeyEnrolled,
)
from domain.attestation.platform import EXPIRED, NONCE_LIFE_MS, PROOF_LIFE_S
from domain.attestation.trust_vector import Tier, TrustVector
from domain.canonical import canonical
from domain.errors import VerificationError
from domain.message import Event, Recorded
from domain.nodes.events import NodeEnrolled
from domain.payloads import StoredPayload
from domain.statements import REPORT
from domain.time import SECOND_MS
from infrastructure.audit.export import export_bundle
from infrastructure.audit.history import HistoryAudit
from infrastructure.audit.opening import Opened
from infrastructure.audit.statements import GRACE_MS
from infrastructure.audit.verify import verify_bundle
from infrastructure.client.signing import signed_by
from infrastructure.commands.nodes import enrolment_claims
from infrastructure.fsck.check import check_database
from infrastructure.keys.wallet import Purpose
from infrastructure.statements.payload import payload
from tests.commands.cell import Cell, Member, founded
from tests.commands.platforms import Machines
from tests.database import TestServer

REPEATED = "appraisals of platforms: evidence verified and appraised again at its instant"


@pytest.fixture(scope="module")
def ran(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cell, Member]]:
    """A cell in which one execution ran on a SEV-SNP machine, and one on an SGX machine. Nothing is added to it."""
    with postgres.database() as name:
        cell = founded(tmp_path_factory.mktemp("cell"), postgres.conninfo(name))
        machines = Machines(cell, tmp_path_factory.mktemp("machines"))
        machines.enrol("snp-a")
        machines.enrol("sgx-a", "sgx", country="FRA", operator="OpB")
        member = cell.join()
        for node in ("snp-a", "sgx-a"):
            member.adopt(machines.hardware(), {"kind": "nodes", "allowed": [node]})
            (execution,) = cell.place(member)
            machines.run(execution)
        yield cell, member
        cell.close()


def audited(
    cell: Cell,
    log_id: UUID,
    change: Callable[[Event], Event] = lambda event: event,
    payload: Callable[[StoredPayload], StoredPayload] = lambda one: one,
) -> HistoryAudit:
    """Audit a log with its payloads at hand, some of its events changed."""
    origin = cell.ledger.log(log_id).origin
    audit = HistoryAudit(
        origin,
        lambda _: frozenset({0}),
        payload=lambda stream, one: cell.ledger.attached(log_id, stream, payload(one).digest),
    )
    for recorded in cell.history(log_id):
        event = change(recorded.event)
        told = canonical(event.payload())
        audit.follow(
            Opened(recorded.stream_id, 0, recorded.version, recorded.at_ms, event.TOPIC, told, recorded.leaf_hash)
        )
    audit.finish()
    return audit


def audited_as(
    cell: Cell, log_id: UUID, change: Callable[[Recorded], Recorded], *, last: type[Event] | None = None
) -> None:
    """Audit a log with entries changed, without payloads; up to the last event of a kind, if one is named."""
    history = [change(recorded) for recorded in cell.history(log_id)]
    if last is not None:
        history = history[: 1 + max(at for at, one in enumerate(history) if isinstance(one.event, last))]
    audit = HistoryAudit(cell.ledger.log(log_id).origin, lambda _: frozenset({0}))
    for one in history:
        content = canonical(one.event.payload())
        audit.follow(Opened(one.stream_id, 0, one.version, one.at_ms, one.event.TOPIC, content, one.leaf_hash))


def test_evidence_that_can_be_read_is_verified_and_appraised_again(ran: tuple[Cell, Member]) -> None:
    cell, member = ran
    for log_id in (member.log_id, cell.ledger.platform().log_id):
        assert f"2 {REPEATED}" in audited(cell, log_id).checked()
    report = check_database(cell.ledger)
    assert not report.differences, report.differences
    assert report.checked[REPEATED] == 4


def kept(event: Event, **changes: Any) -> Event:
    """Return an appraisal with what it keeps changed."""
    assert isinstance(event, PlatformEvidenceAppraised | NodeEvidenceAppraised)
    return event.model_copy(update={"kept": AppraisalKept(**{**dict(event.kept), **changes})})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"at_s": 5}, "instant"), ({"root": "a" * 64}, "EAR"), ({"evidence_key": "a" * 64}, "EAR"),
        ({"trust_vector": TrustVector(hardware=2)}, "EAR"), ({"not_appraised": ("nonce",)}, "EAR"),
        ({"ear": "e.a.r"}, "entry"), ({"endorsements": ()}, "what the report names"),
        ({"collateral": ()}, "not what was recorded of it"),
    ],
)  # fmt: skip
def test_an_appraisal_that_keeps_something_else_is_found(
    ran: tuple[Cell, Member], changes: dict[str, Any], says: str
) -> None:
    cell, member = ran

    def change(event: Event) -> Event:
        return kept(event, **changes) if isinstance(event, PlatformEvidenceAppraised) else event

    with pytest.raises(VerificationError, match=says):
        audited(cell, member.log_id, change)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"status": Tier.WARNING}, "EAR"), ({"platform_id": "amd:" + "0" * 128}, "EAR"),
        ({"evidence_class": "vendor"}, "EAR"), ({"reason": "so it is"}, "another reason"),
        ({"certificate": None}, "certificate"), ({"policy_version": 7}, "policy"), ({"nonce": "0" * 64}, "evidence"),
    ],
)  # fmt: skip
def test_an_appraisal_that_says_something_else_is_found(
    ran: tuple[Cell, Member], changes: dict[str, Any], says: str
) -> None:
    cell, member = ran

    def change(event: Event) -> Event:
        return event.model_copy(update=changes) if isinstance(event, PlatformEvidenceAppraised) else event

    with pytest.raises(VerificationError, match=says):
        audited(cell, member.log_id, change)


def test_evidence_of_another_entry_in_its_place_is_found(ran: tuple[Cell, Member]) -> None:
    cell, member = ran
    one, other = (event.kept for event in cell.events(member, PlatformEvidenceAppraised))
    swapped = {one.platform_evidence.digest: one.endorsements[0]}
    with pytest.raises(VerificationError, match="entry"):
        audited(cell, member.log_id, payload=lambda found: swapped.get(found.digest, found))
    assert one.evidence_key != other.evidence_key


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        (NodeChallenged, {"nonce": "0" * 64}, "no nonce that is open"),
        (NodeChallenged, {"kid": "x" * 43}, "another key"),
        (NodeEvidenceAppraised, {"status": Tier.CONTRAINDICATED}, "EAR"),
        (NodeEvidenceAppraised, {"platform_id": None}, "EAR"),
        (ResultKeyEnrolled, {"kid": "x" * 43}, "thumbprint"),
        (NodeEnrolled, {}, "not proved"),
    ],
)
def test_a_machine_that_was_not_proved_as_it_is_told_is_found(
    ran: tuple[Cell, Member], kind: type[Event], changes: dict[str, Any], says: str
) -> None:
    cell, _ = ran

    def change(event: Event) -> Event:
        if isinstance(event, NodeEvidenceAppraised) and kind is NodeEnrolled:
            return event.model_copy(update={"kid": "x" * 43})
        return event.model_copy(update=changes) if isinstance(event, kind) else event

    with pytest.raises(VerificationError, match="no nonce that is open" if kind is NodeEnrolled else says):
        audited(cell, cell.ledger.platform().log_id, change)


@pytest.mark.parametrize(
    ("kind", "later_ms", "changes", "says"),
    [
        (NodeChallenged, 0, {"expires_ms": 1}, "longer or shorter"),
        (NodeChallenged, 0, {"expires_ms": 2**45}, "longer or shorter"),
        (NodeChallenged, -NONCE_LIFE_MS - 2 * GRACE_MS, None, "nonce that had expired"),
        (NodeEvidenceAppraised, 0, {"status": Tier.CONTRAINDICATED, "reason": EXPIRED}, "had not"),
    ],
)
def test_nonces_that_were_too_old_are_found(
    ran: tuple[Cell, Member], kind: type[Event], later_ms: int, changes: dict[str, Any] | None, says: str
) -> None:
    """Events of a kind are told as if they had been recorded at another time, or said something else."""
    cell, _ = ran
    log_id = cell.ledger.platform().log_id

    def change(recorded: Recorded) -> Recorded:
        if not isinstance(recorded.event, kind):
            return recorded
        at_ms = recorded.at_ms + later_ms
        told = {"expires_ms": at_ms + NONCE_LIFE_MS} if changes is None else changes
        return recorded._replace(at_ms=at_ms, event=recorded.event.model_copy(update=told))

    with pytest.raises(VerificationError, match=says):
        audited_as(cell, log_id, change)


@pytest.mark.parametrize("late_ms", [0, GRACE_MS, 2 * GRACE_MS])
def test_a_node_that_enrols_on_a_proof_that_was_too_old_is_found(ran: tuple[Cell, Member], late_ms: int) -> None:
    cell, _ = ran
    wallet, log = cell.nodes["sgx-a"], cell.ledger.platform()

    def change(recorded: Recorded) -> Recorded:
        """Let the last node enrol so much later, with an acceptance of that time."""
        event = recorded.event
        if not isinstance(event, NodeEnrolled) or event.facts.node != "sgx-a":
            return recorded
        at_ms = recorded.at_ms + PROOF_LIFE_S * SECOND_MS + late_ms
        claims = enrolment_claims(event.facts)
        content = payload(
            iss=wallet.did(Purpose.REPORT), aud=log.origin, claims=claims, now_ms=at_ms, entropy=cell.ledger.entropy
        )
        (acceptance,) = signed_by([wallet], REPORT, content)
        return recorded._replace(at_ms=at_ms, event=event.model_copy(update={"acceptance": acceptance}))

    if late_ms == 2 * GRACE_MS:
        with pytest.raises(VerificationError, match="not proved"):
            audited_as(cell, log.log_id, change, last=NodeEnrolled)
    else:
        audited_as(cell, log.log_id, change, last=NodeEnrolled)


def test_a_number_of_collateral_that_falls_is_found(ran: tuple[Cell, Member]) -> None:
    cell, _ = ran
    seen: list[str] = []

    def change(event: Event) -> Event:
        if not isinstance(event, CollateralSeen):
            return event
        seen.append(event.source)
        return event.model_copy(update={"source": seen[0]})

    with pytest.raises(VerificationError, match=r"another stream|did not rise"):
        audited(cell, cell.ledger.platform().log_id, change)


def test_a_log_with_platform_evidence_verifies_and_says_what_it_could_not_repeat(
    ran: tuple[Cell, Member], tmp_path: Path
) -> None:
    cell, member = ran
    assert len(cell.events(member, PlatformEvidenceAppraised)) == 2
    export_bundle(cell.ledger, member.log_id, tmp_path / "tenant", with_keys="all")
    verdict = verify_bundle(tmp_path / "tenant")
    assert verdict.ok, verdict.first_error
    assert "2 attestation results (EAR): their key is in the platform log" in verdict.not_checked
    platform = cell.ledger.platform().log_id
    export_bundle(cell.ledger, platform, tmp_path / "platform", with_keys="all")
    verdict = verify_bundle(tmp_path / "platform")
    assert verdict.ok, verdict.first_error
    assert "2 attestation results (EAR): signature" in verdict.checked
