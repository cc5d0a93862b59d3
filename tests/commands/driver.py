"""A node that a test steps through its reports, with an enclave inside the test: anything in it can be made wrong.

The enclave's part (binding, commitment, CAC) is written again here from wire formats 6 and 7.
"""

import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.statements import REPORT
from infrastructure.attestation.attesting import Attested, Attester
from infrastructure.client.signing import signed_by
from infrastructure.commands.executions import assign, report
from infrastructure.commands.provisioning import released_inputs
from infrastructure.credentials.data_integrity import add_proof, canonical_bytes
from infrastructure.keys import ed25519, hpke
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Answer
from infrastructure.node.assignment import Assignment
from infrastructure.node.enclosed import Enclosed
from infrastructure.runtime.measurement import engine_identity, runtime_measurement
from infrastructure.statements.payload import payload
from tests.commands.cell import ENTROPY, Cell

ZEROS = "0" * 64


def bound(*parts: bytes) -> bytes:
    """Return report_data over its parts (wire formats 6)."""
    digest = hashlib.sha512(b"ledger report-data v1\0")
    for part in parts:
        digest.update(struct.pack(">H", len(part)) + part)
    return digest.digest()


def jcs(value: Any) -> bytes:
    """Return restricted JSON in its canonical form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass
class Driver:
    """Steps one execution through its reports."""

    cell: Cell
    execution: str
    wallet: Wallet | None = None
    seq: int = 0
    prev: str = ZEROS
    tokens: list[tuple[str, Enclosed | None]] = field(default_factory=list)
    attester: Attester | None = None

    def __post_init__(self) -> None:
        if self.wallet is None:
            self.wallet = self.cell.nodes[self.cell.node_of(self.execution)]
        self.cac_key: Ed25519PrivateKey = ed25519.private_key(ENTROPY.bytes(32))
        self.hpke_key = hpke.generate(ENTROPY)
        self.assignment: Assignment | None = None

    def assign(self) -> Assignment:
        """Fetch the assignment."""
        self.assignment = assign(self.cell.ledger, self.execution)
        return self.assignment

    def report_data(self, **changed: Any) -> str:
        """Return the binding; parts may be changed."""
        given = self.assignment or self.assign()
        parts: dict[str, Any] = {
            "host": given.host.encode(), "origin": given.origin.encode(), "execution": given.execution_id.encode(),
            "node": given.node.encode(), "nonce": given.nonce, "module": hashlib.sha256(given.module).digest(),
            "limits": hashlib.sha256(jcs(given.limits.model_dump())).digest(), "policy": given.policy_digest,
            "submission": hashlib.sha256(given.submission.encode()).digest(),
            "cac_key": ed25519.public_bytes(self.cac_key), "kem": struct.pack(">H", hpke.KEM_ID),
            "hpke_key": hashlib.sha256(self.hpke_key.public).digest(), **changed,
        }  # fmt: skip
        return bound(*parts.values()).hex()

    def evidence(self, **changed: Any) -> Answer:
        """Report evidence; members may be changed. A node with an attester has its platform's."""
        if self.attester is not None:
            return self.attested(
                self.attester.attest(bytes.fromhex(self.report_data()), runtime_measurement()), **changed
            )
        return self.tell(self.evidence_claims(**changed))

    def attested(self, made: Attested, **changed: Any) -> Answer:
        """Report a platform's evidence; members may be changed."""
        enclosed = Enclosed(evidence=made.evidence, endorsements=made.endorsements)
        return self.tell(self.evidence_claims(**{**made.members(), **changed}), enclosed)

    def evidence_claims(self, **changed: Any) -> dict[str, Any]:
        """Return what a report of evidence says."""
        given = self.assignment or self.assign()
        return {
            "kind": "evidence", "evidence_class": "software", "nonce": given.nonce.hex(),
            "report_data": self.report_data(), "cac_key": ed25519.public_bytes(self.cac_key).hex(),
            "hpke_kem_id": hpke.KEM_ID, "hpke_key": self.hpke_key.public.hex(), "engine": engine_identity(),
            "measurement": runtime_measurement(), **changed,
        }  # fmt: skip

    def started(self) -> Answer:
        """Report the start."""
        return self.tell({"kind": "started"})

    def document(self, outcome: str = "PASS", output: bytes = b"{}", **changed: Any) -> dict[str, Any]:
        """Return the CAC, not signed yet; members may be changed."""
        draft = released_inputs(self.cell.ledger, self.execution)[1]
        commitment = hashlib.sha256(b"ledger commit v1\0" + bytes(32) + output).hexdigest()
        outputs = [{"commitment": commitment, "size_bytes": len(output)}]
        return {**draft, "outcome": outcome, "outputs": outputs, **changed}

    def signed(self, document: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Sign a CAC with the enclave's key."""
        given = self.assignment or self.assign()
        known = {"domain": given.origin, "challenge": given.nonce.hex(), **options}
        return add_proof(document, known.pop("key", self.cac_key), created_ms=self.cell.clock.now_ms(), **known)

    def completed(self, cac: dict[str, Any] | bytes | None = None, output: bytes = b"{}", **changed: Any) -> Answer:
        """Report the end, with a CAC."""
        document = self.signed(self.document(output=output)) if cac is None else cac
        data = document if isinstance(document, bytes) else canonical_bytes(document)
        claims = {
            "kind": "completed", "outcome": "PASS",
            "output_commitment": hashlib.sha256(b"ledger commit v1\0" + bytes(32) + output).hexdigest(),
            "output_bytes": len(output), "output_digest": hashlib.sha256(output).hexdigest(),
            "cac_digest": hashlib.sha256(data).hexdigest(), "fuel": 1, "memory_bytes": 65_536, "duration_ms": 5,
            **changed,
        }  # fmt: skip
        return self.tell(claims, Enclosed(output=output, cac=data))

    def faulted(self, fault: str = "trap") -> Answer:
        """Report a fault."""
        used = {"fuel": 1, "memory_bytes": 65_536, "duration_ms": 5}
        return self.tell({"kind": "faulted", "fault": fault, "detail": "", **used})

    def reset(self) -> Answer:
        """Report that nothing is left."""
        return self.tell({"kind": "reset"})

    def whole(self) -> "Driver":
        """Go all the way to a CAC."""
        for step in (self.evidence, self.started, self.completed, self.reset):
            assert step().answer == {"accepted": True, "reason": ""}
        return self

    def fail(self, fault: str = "trap") -> "Driver":
        """Go all the way to a fault and the reset after it."""
        self.evidence()
        self.started()
        self.faulted(fault)
        self.reset()
        return self

    def token(self, claims: dict[str, Any], wallet: Wallet | None = None, **registered: Any) -> str:
        """Return a report, signed."""
        given = self.assignment or self.assign()
        signer = wallet or self.wallet
        assert signer is not None
        said = {"execution": self.execution, "seq": self.seq, "prev": self.prev, **claims}
        content = payload(
            iss=signer.did(Purpose.REPORT), aud=given.origin, claims=said, now_ms=self.cell.clock.now_ms(),
            entropy=ENTROPY,
        )  # fmt: skip
        return signed_by([signer], REPORT, {**content, **registered})[0]

    def tell(self, claims: dict[str, Any], enclosed: Enclosed | None = None, **registered: Any) -> Answer:
        """Sign and hand in the next report of the chain."""
        token = self.token(claims, **registered)
        answer = self.send(token, enclosed)
        self.tokens.append((token, enclosed))
        self.seq += 1
        self.prev = hashlib.sha256(token.encode()).hexdigest()
        return answer

    def send(self, token: str, enclosed: Enclosed | None = None) -> Answer:
        """Hand a report in."""
        return report(self.cell.ledger, self.cell.decider.catch_up(), token, enclosed)
