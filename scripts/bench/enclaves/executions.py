"""Executions as the ledger drives them: signed submissions, inputs sealed to the enclave, over a real clause."""

from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import as_file, files

from domain.attestation.binding import SALT_BYTES, input_info, salted_commitment
from domain.bounds import Bounds
from infrastructure.demo import observations
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import ed25519, hpke
from infrastructure.runtime.messages import Prepare, Prepared, Run
from infrastructure.runtime.module import module_bytes
from infrastructure.statements import jws

HOST = "ledger.example"
BOUNDS = Bounds(memory_bytes=1_048_576, fuel=50_000_000, wall_ms=10_000)
ENTROPY = SystemEntropy()
_OUTPUT_KEY = hpke.generate(ENTROPY).public
_SUBMITTER = ed25519.private_key(ENTROPY.bytes(ed25519.KEY_BYTES))


def flood() -> bytes:
    """Return the demo's clause that looks at a river's levels."""
    with as_file(files("infrastructure.demo") / "clauses" / "flood.wat") as path:
        return module_bytes(path)


def inputs() -> tuple[bytes, bytes]:
    """Return a hundred years of the Nile's flow, and a threshold."""
    return observations.text(observations.load("nile").rows), observations.parameters(1000)


class Execution:
    """One execution of a clause over inputs, each with a salt and keys of its own.

    Args:
        origin: the tenant's log.
        module: WebAssembly.
        plain: the inputs.
    """

    def __init__(self, origin: str, module: bytes, plain: Sequence[bytes]) -> None:
        self._salted = [ENTROPY.bytes(SALT_BYTES) + data for data in plain]
        self._commitments = [salted_commitment(data[:SALT_BYTES], data[SALT_BYTES:]) for data in self._salted]
        self.execution_id = f"exec-0x{ENTROPY.bytes(16).hex()}"
        listed = [{"commitment": commitment.hex()} for commitment in self._commitments]
        payload = {"iss": "did:example:dao", "aud": origin, "jti": ENTROPY.bytes(16).hex(), "iat": 1, "exp": 2}
        self.prepare = Prepare(
            host=HOST, origin=origin, execution_id=self.execution_id, node_id="node-1", nonce=ENTROPY.bytes(32),
            module=module, limits=BOUNDS, policy_digest=sha256(b"policy").digest(),
            submission=jws.sign(jws.SUBMISSION, _SUBMITTER, {**payload, "inputs": listed}),
        )  # fmt: skip

    def run(self, prepared: Prepared) -> Run:
        """Return the request to run, with the inputs sealed to the enclave."""
        sealed = tuple(
            hpke.seal(prepared.hpke_public_key, plain, input_info(prepared.report_data, index, commitment))
            for index, (plain, commitment) in enumerate(zip(self._salted, self._commitments, strict=True))
        )
        cac = {"execution_id": self.execution_id, "report_data": prepared.report_data.hex(), "cac_id": "cac-1"}
        return Run(
            execution_id=self.execution_id, sealed_inputs=sealed, output_public_key=_OUTPUT_KEY, cac=cac, created_ms=1
        )
