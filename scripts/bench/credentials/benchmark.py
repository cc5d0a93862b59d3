"""The benchmark `credentials`: TEEExecutorVCs from bytes to claims, with their two statuses, on one core.

Invariants:
- Every credential is another one (id, entry, validity): nothing of one is kept for the next but what a ledger keeps:
  its issuer's key, and the two lists that were verified.
- What the verifier returns is compared with what was issued; one revoked credential among them must be refused.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.errors import VerificationError
from domain.time import DAY_MS
from infrastructure.credentials import status_register
from infrastructure.credentials.data_integrity import canonical_bytes, parse_document
from infrastructure.credentials.executor import ExecutorSubject, issue_executor
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.status_entry import REVOCATION
from infrastructure.credentials.verifying import DIRECTORY, STATUS, Verifying
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import did_key, ed25519
from scripts.bench.benchmark import Benchmark, Measured, Options
from scripts.bench.machine import load_average
from scripts.bench.metrics import Metric, Result
from scripts.bench.rounds import clean_heap, repeat, rounds_of

VERIFIED = Metric("credentials.verified", "credentials/s", floor="3000")

FULL_CREDENTIALS, QUICK_CREDENTIALS = 5000, 1000
_NOW_MS = 1_767_225_600_000
_REVOKED = "urn:example:revoked"


def measure(options: Options) -> Measured:
    """Issue the credentials, publish their lists, and verify them all in rounds."""
    count = QUICK_CREDENTIALS if options.quick else FULL_CREDENTIALS
    load_before = load_average()
    with tempfile.TemporaryDirectory(prefix="enclave-ledger-bench-", dir=options.directory) as made:
        options.say(f"issuing {count} credentials")
        return measure_in(Path(made), count, rounds=rounds_of(quick=options.quick), load_before=load_before)


def measure_in(data_dir: Path, count: int, *, rounds: int, load_before: Any = None) -> Measured:
    """Measure with so many credentials; return the median over the rounds.

    Raises:
        VerificationError: when a credential doesn't verify to what was issued, or the revoked one does.
    """
    key = ed25519.private_key(SystemEntropy().bytes(ed25519.KEY_BYTES))
    issuer = did_key.did_key(ed25519.public_bytes(key))
    issued, revoked = _issue(data_dir / DIRECTORY / STATUS, key, count)
    verifying = Verifying.below(data_dir)

    def one_round() -> float:
        with clean_heap():
            began = time.perf_counter()
            found = [
                verifying.executor(parse_document(data), (issuer,), _NOW_MS).grant.credential_id for data in issued
            ]
            took_s = time.perf_counter() - began
        if found != [f"urn:example:{number}" for number in range(count)]:
            raise VerificationError("a credential did not verify to what was issued")
        return count / took_s

    rate = repeat(rounds, one_round)
    _require_refused(verifying, revoked, issuer)
    sizes = {"credentials": f"{rounds} rounds of {count}, {len(issued[0])} bytes each, two statuses each, all distinct"}
    return Measured((Result(VERIFIED, rate),), {"load_before": load_before}, sizes)


def _issue(directory: Path, key: Any, count: int) -> tuple[Sequence[bytes], bytes]:
    entropy = SystemEntropy()
    status_register.create(
        directory, "https://issuer.example/status", did_key.verification_method(ed25519.public_bytes(key))
    )

    def one(register: status_register.StatusRegister, credential_id: str, extra_ms: int) -> bytes:
        return canonical_bytes(
            issue_executor(
                _subject(extra_ms), key,
                valid_from_ms=_NOW_MS - extra_ms, valid_until_ms=_NOW_MS + DAY_MS + extra_ms,
                created_ms=_NOW_MS - extra_ms, credential_id=credential_id,
                status=register.allocate(credential_id, entropy),
            )
        )  # fmt: skip

    with status_register.opened(directory) as register:
        issued = [one(register, f"urn:example:{number}", number) for number in range(count)]
        revoked = one(register, _REVOKED, 0)
        register.mark(register.index_of(_REVOKED), REVOCATION, at_ms=_NOW_MS, reason="")
        status_register.publish(directory, register, key, now_ms=_NOW_MS, valid_ms=DAY_MS)
    return issued, revoked


def _subject(number: int) -> ExecutorSubject:
    return ExecutorSubject(
        id=f"did:web:tenant.example:t{number}",
        dao="ClimateDAO",
        jurisdiction="DEU",
        clause_families=("UNDRR::Disaster::Flood", "UNDRR::Disaster::Drought"),
        resource_classes=("Disaster::Flood@v1", "Disaster::Drought@v1"),
        maximum_memory_bytes=1 << 28,
    )


def _require_refused(verifying: Verifying, revoked: bytes, issuer: str) -> None:
    try:
        verifying.executor(parse_document(revoked), (issuer,), _NOW_MS)
    except CredentialRefusedError as error:
        if error.reason is Refusal.REVOKED:
            return
    raise VerificationError("a revoked credential was not refused as such")


CREDENTIALS = Benchmark("credentials", (VERIFIED,), measure)
