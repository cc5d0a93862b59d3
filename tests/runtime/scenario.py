"""An execution as the ledger's side drives it: submission, release of inputs, run."""

from functools import cache
from hashlib import sha256
from pathlib import Path

from domain.attestation.binding import SALT_BYTES, input_info, salted_commitment
from domain.bounds import Bounds
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import ed25519, hpke
from infrastructure.runtime.messages import Completed, Prepare, Prepared, Run
from infrastructure.runtime.module import module_bytes
from infrastructure.statements import jws

HOST = "ledger.example"
ORIGIN = "ledger.example/t/5"
BOUNDS = Bounds(memory_bytes=1_048_576, fuel=50_000_000, wall_ms=10_000)
ENTROPY = SystemEntropy()
OUTPUT_KEY = hpke.generate(ENTROPY)
"""The tenant's output key."""

_HOSTILE = Path(__file__).parent / "hostile"
_CLAUSES = Path(__file__).parents[2] / "infrastructure" / "demo" / "clauses"


@cache
def hostile(name: str) -> bytes:
    """Return a hostile module."""
    return module_bytes(_HOSTILE / f"{name}.wat")


@cache
def clause(name: str) -> bytes:
    """Return a clause of the demo."""
    return module_bytes(_CLAUSES / f"{name}.wat")


class Scenario:
    """One execution over given inputs; every part can be replaced before it is used."""

    def __init__(self, module: bytes, *inputs: bytes, execution_id: str = "", bounds: Bounds = BOUNDS) -> None:
        self.execution_id = execution_id or f"exec-0x{ENTROPY.bytes(16).hex()}"
        self.salted = [ENTROPY.bytes(SALT_BYTES) + data for data in inputs]
        self.commitments = [salted_commitment(data[:SALT_BYTES], data[SALT_BYTES:]) for data in self.salted]
        self.nonce = ENTROPY.bytes(32)
        self.module = module
        self.bounds = bounds
        self.submission = self.sign_submission()

    def sign_submission(self, *, aud: str = ORIGIN, typ: str = jws.SUBMISSION, **more: str) -> str:
        """Return a submission of these inputs, signed by anybody."""
        listed = [{"commitment": commitment.hex()} for commitment in self.commitments]
        payload = {
            "iss": "did:example:dao",
            "aud": aud,
            "jti": ENTROPY.bytes(16).hex(),
            "iat": 1,
            "exp": 2,
            "inputs": listed,
            **more,
        }
        return jws.sign(typ, ed25519.private_key(ENTROPY.bytes(32)), payload)

    def prepare(self) -> Prepare:
        """Return the request for an enclave."""
        return Prepare(
            host=HOST,
            origin=ORIGIN,
            execution_id=self.execution_id,
            node_id="node-1",
            nonce=self.nonce,
            module=self.module,
            limits=self.bounds,
            policy_digest=sha256(b"policy").digest(),
            submission=self.submission,
        )

    def run(self, prepared: Prepared) -> Run:
        """Return the request to run, inputs sealed to the enclave."""
        sealed = tuple(
            hpke.seal(prepared.hpke_public_key, plain, input_info(prepared.report_data, index, commitment))
            for index, (plain, commitment) in enumerate(zip(self.salted, self.commitments, strict=True))
        )
        cac = {"execution_id": self.execution_id, "report_data": prepared.report_data.hex(), "cac_id": "cac-1"}
        return Run(
            execution_id=self.execution_id,
            sealed_inputs=sealed,
            output_public_key=OUTPUT_KEY.public,
            cac=cac,
            created_ms=1_000,
        )


def opened_output(completed: Completed, info: bytes) -> tuple[bytes, bytes]:
    """Return salt and output, as the tenant opens them."""
    plain = OUTPUT_KEY.open(completed.sealed_output, info)
    return plain[:SALT_BYTES], plain[SALT_BYTES:]
