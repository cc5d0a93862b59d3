"""A node has its machine proved over HTTP before it enrols: nonce, evidence over its own key, the ledger's verdict.

Invariants:
- What the machine signs is computed here, from the ledger's host, the node's name, the nonce and the node's own key.
- Nothing is enrolled with that the ledger did not find in the evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from domain.attestation.platform import node_report_data
from domain.errors import RefusedError
from domain.executions.events import Hex32
from domain.identifiers import PLATFORM_SLOT, Digest, origin
from domain.nodes.decisions import challenge_claims, proof_claims
from domain.policies.facts import PlatformId
from domain.policies.kinds import EvidenceClass
from domain.statements import REPORT
from infrastructure.attestation.attesting import Attester
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.exchange.blocking import Client
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.node.enclosed import Enclosed
from infrastructure.node.wire import Sent, read_sent
from infrastructure.runtime.measurement import runtime_measurement
from infrastructure.statements import jws
from infrastructure.statements.payload import payload


class SentNonce(Sent):
    """What evidence has to answer."""

    nonce: Hex32
    expires_ms: int


class Proved(Sent):
    """What the ledger found in a machine's evidence."""

    accepted: bool
    status: str
    reason: Annotated[str, Field(max_length=4096)]
    evidence_class: EvidenceClass | None
    evidence_root: Digest | None
    platform_id: PlatformId | None


@dataclass(frozen=True, slots=True)
class Speaker:
    """A node that is not enrolled yet, and how it speaks: what it signs is for the platform log."""

    client: Client
    wallet: Wallet
    clock: Clock
    entropy: Entropy

    @property
    def host(self) -> str:
        """Return the ledger's host, as its issuer names it.

        Raises:
            UnavailableError: when the ledger is away.
        """
        self.client.learn_issuer()
        return self.client.session.issuer.removeprefix("https://")

    def signed(self, claims: Mapping[str, Any]) -> str:
        """Return a statement of the node's report key. Raises as `host` does."""
        content = payload(
            iss=self.wallet.did(Purpose.REPORT),
            aud=origin(self.host, PLATFORM_SLOT),
            claims=claims,
            now_ms=self.clock.now_ms(),
            entropy=self.entropy,
        )
        return jws.sign(REPORT, self.wallet.key(Purpose.REPORT), content)

    @property
    def public(self) -> bytes:
        """Return the node's report key."""
        return self.wallet.public(Purpose.REPORT)


def prove_machine(speaker: Speaker, attester: Attester, credential: Mapping[str, Any]) -> Proved:
    """Let a machine prove itself under the wallet's name.

    Args:
        speaker: the node.
        attester: the machine.
        credential: the node's.

    Raises:
        RefusedError: when the evidence was not accepted, with the reason.
        NotAuthorisedError: when the ledger gives no nonce.
        UnavailableError: when it is away.
    """
    node = speaker.wallet.name
    asked = {
        "node": node,
        "public_key": speaker.public.hex(),
        "credential": dict(credential),
        "request": speaker.signed(challenge_claims(node)),
    }
    issued = read_sent(SentNonce, speaker.client.post_signed("/v1/nodes/challenges", asked))
    bound = node_report_data(speaker.host, node, bytes.fromhex(issued.nonce), speaker.public)
    attested = attester.attest(bound, runtime_measurement())
    claims = proof_claims(node, issued.nonce, attested.evidence, attested.endorsements)
    enclosed = Enclosed(evidence=attested.evidence, endorsements=attested.endorsements)
    sent = {"proof": speaker.signed(claims), **enclosed.members()}
    proved = read_sent(Proved, speaker.client.post_signed("/v1/nodes/evidence", sent))
    if not proved.accepted:
        raise RefusedError(f"the machine did not prove itself: {proved.reason}")
    return proved
