"""Acts of a node whose machine proves itself: challenge, evidence over its key, enrolment with what was proved."""

from domain.attestation.events import NodeEvidenceAppraised
from domain.errors import RefusedError
from domain.policies.facts import NodeFacts
from infrastructure.attestation.attesting import Attester
from infrastructure.client.acts import enrol_node
from infrastructure.client.granting import YEAR_MS
from infrastructure.commands import machines
from infrastructure.commands.evidence import GivenEvidence
from infrastructure.credentials.data_integrity import Document
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Answer, Ledger
from infrastructure.runtime.measurement import runtime_measurement


def prove_machine(ledger: Ledger, wallet: Wallet, name: str, attester: Attester) -> NodeEvidenceAppraised:
    """Let a machine prove itself for a node before it enrols: challenge, evidence over its key, appraisal.

    Raises:
        RefusedError: when the evidence was not accepted, with the reason.
    """
    public = wallet.public(Purpose.REPORT)
    issued = machines.challenge_node(ledger, name, public)
    attested = attester.attest(machines.evidence_data(ledger, issued), runtime_measurement())
    given = GivenEvidence(attested.evidence, attested.endorsements)
    appraised = machines.prove_machine(ledger, name, public, given)
    if not appraised.accepted:
        raise RefusedError(f"the machine did not prove itself: {appraised.reason}")
    return appraised


def enrol_machine(
    ledger: Ledger,
    wallet: Wallet,
    issuer: Wallet,
    facts: NodeFacts,
    attester: Attester,
    *,
    valid_ms: int = YEAR_MS,
    issued: Document | None = None,
) -> Answer:
    """Enrol a node whose machine proves itself: platform id, class and root are what was proved.

    A credential that was issued elsewhere must name that very machine.

    Raises:
        RefusedError: when the evidence was not accepted.
    """
    appraised = prove_machine(ledger, wallet, facts.node, attester)
    proved = {
        "platform_ids": () if appraised.platform_id is None else (appraised.platform_id,),
        "evidence_class": appraised.evidence_class,
        "evidence_root": appraised.kept.root,
    }
    return enrol_node(ledger, wallet, issuer, facts.model_copy(update=proved), valid_ms=valid_ms, issued=issued)
