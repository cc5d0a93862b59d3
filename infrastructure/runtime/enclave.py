"""The enclaves of one tenant: one per execution, each with keys of its own that never leave this process.

Invariants:
- An execution id is prepared once in this object's life, run at most once, and its origin is this object's alone.
- Keys are made here, from the operating system's generator, and named in `report_data`: what is sealed to them opens
  only here, for this execution, at its own index (wire formats 6).
- An input whose salted commitment isn't the one at its index in the submission refuses, before anything runs.
- Where the submission names the digest of an output key, outputs are sealed to that key or not at all.
- The CAC is signed only for an outcome. Its execution id and report_data are this enclave's, whoever wrote the rest.
- Of plaintext, only salted commitments, sizes, the outcome and ciphertext leave.

What `reset` does and doesn't: the instance's memory was overwritten when the run ended, as were our own copies of the
inputs; the key objects are dropped, and OpenSSL cleanses theirs when freed. Python can't overwrite the immutable bytes
that HPKE returned, the clause's output, nor the key seeds: they are freed, and stay in free memory until it is used
again. The process ends with its keep, and nobody may read its memory meanwhile (see `confinement`).
"""

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.attestation.binding import (
    SALT_BYTES,
    Binding,
    input_info,
    output_info,
    report_data,
    salted_commitment,
)
from domain.canonical import canonical
from domain.errors import ConflictError, MalformedError, UnknownError, VerificationError
from infrastructure.credentials.data_integrity import add_proof, canonical_bytes
from infrastructure.credentials.timestamp import print_timestamp
from infrastructure.entropy import Entropy
from infrastructure.keys import ed25519, hpke
from infrastructure.runtime.abi import MAX_INPUT_BYTES, MAX_INPUTS, Fault
from infrastructure.runtime.engine import ClauseEngine, RunResult
from infrastructure.runtime.measurement import engine_identity, runtime_measurement
from infrastructure.runtime.messages import Completed, Faulted, Prepare, Prepared, Run
from infrastructure.statements import jws

MAX_PREPARED: Final = 1_024
"""Enclaves that may wait at the same time: about 15 KiB each, and each of their modules once."""

_OUTPUT_SALT: Final = b"ledger output salt v1\0"

_FILLED_HERE: Final = frozenset({"outcome", "outputs", "proof"})


@dataclass(slots=True)
class _Enclave:
    """One execution's enclave. Shows nothing of its keys."""

    request: Prepare
    public: Prepared
    commitments: tuple[bytes, ...]
    cac_key: Ed25519PrivateKey = field(repr=False)
    hpke_key: hpke.PrivateKey = field(repr=False)
    output_key_digest: object = None
    ran: bool = False


class Enclaves:
    """All enclaves of one tenant's log (`origin`) in this process."""

    def __init__(self, origin: str, *, memory_limit_bytes: int, engine: ClauseEngine, entropy: Entropy) -> None:
        self._origin = origin
        self._memory_limit_bytes = memory_limit_bytes
        self._engine = engine
        self._entropy = entropy
        self._used: set[str] = set()
        self._waiting: dict[str, _Enclave] = {}
        self._modules: dict[bytes, tuple[bytes, int]] = {}  # by digest, with how many wait that run it

    def prepare(self, request: Prepare) -> Prepared:
        """Make an enclave: compile its module, make its keys, bind them.

        Raises:
            MalformedError: when module, submission or limits are not what this keep runs.
            ConflictError: when the execution id was prepared before, or too many enclaves wait.
        """
        self._admit(request)
        commitments, output_key_digest = self._commitments(request.submission)
        module_digest = self._engine.compile(request.module)
        cac_key = ed25519.private_key(self._entropy.bytes(ed25519.KEY_BYTES))
        hpke_key = hpke.generate(self._entropy)
        public = _bind(request, module_digest, ed25519.public_bytes(cac_key), hpke_key.public)
        self._used.add(request.execution_id)
        module, users = self._modules.get(module_digest, (request.module, 0))
        self._modules[module_digest] = (module, users + 1)
        request = request.model_copy(update={"module": module})
        self._waiting[request.execution_id] = _Enclave(
            request, public, commitments, cac_key, hpke_key, output_key_digest
        )
        return public

    def run(self, request: Run) -> Completed | Faulted:
        """Open the inputs, run the clause, seal its output and sign its CAC.

        Raises:
            UnknownError: when no such execution is prepared (any more).
            ConflictError: when it ran already.
            MalformedError: when the CAC's members or the output key are not what they must be.
        """
        enclave = self._waiting.get(request.execution_id)
        if enclave is None:
            raise UnknownError("this execution is not prepared, or was reset")
        if enclave.ran:
            raise ConflictError("this execution ran already")
        _check_before_run(request, enclave.public)
        if enclave.output_key_digest not in {None, sha256(request.output_public_key).hexdigest()}:
            raise MalformedError("the submission names another output key")
        enclave.ran = True
        inputs: list[bytearray] = []
        try:
            salt = _open_inputs(enclave, request.sealed_inputs, inputs)
            result = self._engine.run(enclave.request.module, inputs, enclave.request.limits)
        except VerificationError as error:
            return _fault(request.execution_id, "input_error", str(error))
        except MemoryError:
            return _fault(request.execution_id, "memory", "the process reached its own memory limit")
        finally:
            for data in inputs:
                data[:] = bytes(len(data))
        if result.outcome is None:
            return _faulted(request.execution_id, result)
        return self._complete(enclave, request, result, salt)

    def reset(self, execution_id: str) -> None:
        """Drop the enclave of an execution. Safe to repeat.

        Raises:
            UnknownError: when this id was never prepared here.
        """
        if execution_id not in self._used:
            raise UnknownError("this execution was never prepared")
        enclave = self._waiting.pop(execution_id, None)
        if enclave is None:
            return
        module, users = self._modules.pop(enclave.public.module_digest)
        if users > 1:
            self._modules[enclave.public.module_digest] = (module, users - 1)

    def _admit(self, request: Prepare) -> None:
        if request.origin != self._origin:
            raise MalformedError("this keep serves another log")
        if request.execution_id in self._used:
            raise ConflictError("an execution id is prepared once")
        if len(self._waiting) >= MAX_PREPARED:
            raise ConflictError(f"{MAX_PREPARED} executions wait already: run or reset them first")
        if request.limits.memory_bytes > self._memory_limit_bytes:
            raise MalformedError(f"this keep gives at most {self._memory_limit_bytes} bytes of memory")

    def _commitments(self, submission: str) -> tuple[tuple[bytes, ...], object]:
        """Read the input commitments, and the output key's digest where there is one, from the submission.

        Its signature was checked where its key is known.
        """
        statement = jws.parse(submission)
        if statement.typ != jws.SUBMISSION or statement.payload["aud"] != self._origin:
            raise MalformedError("the submission is no submission to this log")
        inputs = statement.payload.get("inputs")
        if not isinstance(inputs, list) or len(inputs) > MAX_INPUTS:
            raise MalformedError(f"a submission lists at most {MAX_INPUTS} inputs")
        return tuple(_commitment(entry) for entry in inputs), statement.payload.get("output_key_digest")

    def _complete(self, enclave: _Enclave, request: Run, result: RunResult, salt: bytes) -> Completed:
        if result.outcome is None:
            raise ValueError("a CAC needs an outcome")
        commitment = salted_commitment(salt, result.output)
        info = output_info(enclave.public.report_data, 0, commitment)
        sealed = hpke.seal(request.output_public_key, salt + result.output, info)
        outputs = [{"commitment": commitment.hex(), "size_bytes": len(result.output)}]
        cac = add_proof(
            {**request.cac, "outcome": result.outcome, "outputs": outputs},
            enclave.cac_key,
            created_ms=request.created_ms,
            domain=self._origin,
            challenge=enclave.request.nonce.hex(),
        )
        return Completed(
            execution_id=request.execution_id,
            outcome=result.outcome,
            output_commitment=commitment,
            output_size_bytes=len(result.output),
            sealed_output=sealed,
            cac=cac,
            fuel_used=result.fuel_used,
            peak_memory_bytes=result.peak_memory_bytes,
        )


def _bind(request: Prepare, module_digest: bytes, cac_public: bytes, hpke_public: bytes) -> Prepared:
    limits_digest = sha256(canonical(request.limits.model_dump())).digest()
    binding = Binding(
        host=request.host,
        origin=request.origin,
        execution_id=request.execution_id,
        node_id=request.node_id,
        nonce=request.nonce,
        module_digest=module_digest,
        limits_digest=limits_digest,
        policy_digest=request.policy_digest,
        submission_digest=sha256(request.submission.encode()).digest(),
        cac_key=cac_public,
        kem_id=hpke.KEM_ID,
        hpke_key_digest=hpke.public_key_digest(hpke_public),
    )
    return Prepared(
        execution_id=request.execution_id,
        cac_public_key=cac_public,
        hpke_kem_id=hpke.KEM_ID,
        hpke_public_key=hpke_public,
        report_data=report_data(binding),
        module_digest=module_digest,
        limits_digest=limits_digest,
        engine=engine_identity(),
        measurement=runtime_measurement(),
    )


def _commitment(entry: object) -> bytes:
    text = entry.get("commitment") if isinstance(entry, dict) else None
    try:
        commitment = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        commitment = b""
    if commitment.hex() != text or len(commitment) != sha256().digest_size:
        raise MalformedError("an input in the submission has no commitment of 64 lowercase hex digits")
    return commitment


def _check_before_run(request: Run, public: Prepared) -> None:
    """Refuse now what could not be signed or sealed afterwards: a refusal leaves the execution as it was.

    This stops a host that would have an enclave sign for another execution, or for an outcome that it didn't give.
    """
    cac = request.cac
    if present := sorted(_FILLED_HERE & cac.keys()):
        raise MalformedError(f"the CAC's {', '.join(present)} is for the enclave to fill in")
    if cac.get("execution_id") != public.execution_id or cac.get("report_data") != public.report_data.hex():
        raise MalformedError("the CAC's execution_id or report_data (hex) is not this enclave's")
    canonical_bytes(cac)
    print_timestamp(request.created_ms)
    hpke.check_public_key(request.output_public_key)


def _open_inputs(enclave: _Enclave, sealed_inputs: tuple[bytes, ...], opened: list[bytearray]) -> bytes:
    """Open every input into `opened`, so that the caller can overwrite what was opened even after a refusal.

    Returns the salt for the output, derived from the inputs' secret salts: independent enclaves of one workload commit
    alike to alike outputs, so a quorum compares commitments, and nobody without the inputs can guess at them.
    """
    salts = sha256(_OUTPUT_SALT)
    if len(sealed_inputs) != len(enclave.commitments):
        raise VerificationError(f"{len(sealed_inputs)} inputs came; the submission lists {len(enclave.commitments)}")
    for index, (sealed, commitment) in enumerate(zip(sealed_inputs, enclave.commitments, strict=True)):
        if len(sealed) > MAX_INPUT_BYTES + SALT_BYTES + hpke.OVERHEAD_BYTES:
            raise VerificationError(f"input {index} is longer than {MAX_INPUT_BYTES} bytes")
        try:
            plain = enclave.hpke_key.open(sealed, input_info(enclave.public.report_data, index, commitment))
        except VerificationError:
            raise VerificationError(f"input {index} is not sealed to this execution") from None
        opened.append(bytearray(plain[SALT_BYTES:]))
        if len(plain) < SALT_BYTES or not hmac.compare_digest(
            salted_commitment(plain[:SALT_BYTES], plain[SALT_BYTES:]), commitment
        ):
            raise VerificationError(f"input {index} is not the one that was submitted")
        salts.update(plain[:SALT_BYTES])
    return salts.digest()


def _fault(execution_id: str, fault: Fault, detail: str) -> Faulted:
    return Faulted(execution_id=execution_id, fault=fault, detail=detail, fuel_used=0, peak_memory_bytes=0)


def _faulted(execution_id: str, result: RunResult) -> Faulted:
    return Faulted(
        execution_id=execution_id,
        fault=result.fault or "trap",
        detail=result.detail,
        fuel_used=result.fuel_used,
        peak_memory_bytes=result.peak_memory_bytes,
    )
