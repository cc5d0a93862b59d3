"""Platform evidence appraised for the ledger: verified, held against what was seen before, judged, signed, and kept.

Invariants:
- Evidence, endorsements and instant are stored with every answer, so that anybody who may read them repeats it.
- Collateral is never older than any that was used before here: its numbers stand in the platform log, and what is
  appraised rests on them as they stood.
- Evidence that was accepted is never accepted again: its key (header and body) is taken for ever.
- A root that is no vendor's counts only if the operator trusts it for this cell, and the tenant's policy names it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from domain.attestation.appraiser import AttestationResult, rejected
from domain.attestation.claims import VerifiedClaims
from domain.attestation.events import AppraisalKept, CollateralSeen, PlatformEvidenceAppraised
from domain.attestation.numbers import admit
from domain.attestation.platform import VOUCHED, accepted, judge_execution, with_reasons
from domain.attestation.refusal import EvidenceRefusedError, Refusal
from domain.errors import ConflictError, MalformedError, UnavailableError
from domain.executions.events import EvidenceAppraised
from domain.executions.reports import MAX_ENDORSEMENTS, EvidenceReport
from domain.identifiers import collateral_stream, stream_of
from domain.message import Pending
from domain.time import SECOND_MS
from infrastructure.attestation.ear import EarSigner
from infrastructure.attestation.recognise import MAX_TEXT_BYTES, recognise
from infrastructure.attestation.roots import MAX_ROOT_FILE_BYTES, Roots, named_roots, vendor_roots
from infrastructure.attestation.verifying import verify_under
from infrastructure.commands.context import Context
from infrastructure.engine_digest import engine_digest
from infrastructure.ledger import Attachment, Command, Ledger
from infrastructure.postgres.records import Guard
from infrastructure.publish.files import replace_file

ROOTS_FILE: Final = "trusted-roots.pem"
"""Below the data directory: certificates of roots that count in this cell beside the vendors'."""
ROOTS_DIRECTORY: Final = "trusted-roots"
"""Below the data directory: more of such files (*.pem), e.g. those of nodes elsewhere, each taken by itself."""
MAX_ROOT_FILES: Final = 64
MAX_ENDORSEMENT_BYTES: Final = 1_048_576
_ATTEMPTS = 8
_REPLAYED = "replayed: this very evidence was accepted before"


@dataclass(frozen=True, slots=True)
class GivenEvidence:
    """What came from a platform: evidence, raw or hex, and the contents of the files of its endorsements."""

    evidence: bytes
    endorsements: tuple[bytes, ...] = ()

    def require_bounded(self) -> None:
        """Raise unless it is of a size that is stored.

        Raises:
            MalformedError: when it is empty or too large.
        """
        if not 0 < len(self.evidence) <= MAX_TEXT_BYTES:
            raise MalformedError(f"evidence is 1 to {MAX_TEXT_BYTES} bytes")
        if len(self.endorsements) > MAX_ENDORSEMENTS:
            raise MalformedError(f"evidence comes with at most {MAX_ENDORSEMENTS} files of endorsements")
        if sum(map(len, self.endorsements)) > MAX_ENDORSEMENT_BYTES:
            raise MalformedError(f"endorsements are at most {MAX_ENDORSEMENT_BYTES} bytes in all")


@dataclass(frozen=True, slots=True)
class ExecutionAppraisal:
    """An execution's appraisal, and what is stored with it: what it attaches, takes for ever, and rests on."""

    event: EvidenceAppraised
    attachments: Sequence[Attachment] = ()
    claims: Sequence[Command] = ()
    guards: Sequence[Guard] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """A piece of evidence answered: the result, what was proved if anything was, and what is kept of it."""

    result: AttestationResult
    claims: VerifiedClaims | None
    kept: AppraisalKept
    attachments: tuple[Attachment, ...]
    guards: tuple[Guard, ...]

    def taken(self, platform: UUID, by: str) -> list[Command]:
        """Return the claim that lets nobody use this evidence again."""
        if self.claims is None or not accepted(self.result):
            return []
        return [Command(platform, "evidence", self.claims.evidence_key, by.encode(), {})]


Judge = Callable[[VerifiedClaims], AttestationResult]
Certify = Callable[[Ledger, Context, EvidenceReport, str], str]


def answer(ledger: Ledger, given: GivenEvidence, judge: Judge, *, log_id: UUID, stream: UUID, nonce: bytes) -> Answered:
    """Verify evidence, judge it and sign the result; nothing is stored yet.

    Args:
        ledger: the ledger, for roots, numbers, clock and key.
        given: what came.
        judge: says what is thought of proved claims.
        log_id: the log that keeps it.
        stream: under whose key its payloads are sealed.
        nonce: the challenge, named in the EAR.

    Raises:
        MalformedError: when it is empty or too large to be kept.
    """
    given.require_bounded()
    at_s = ledger.clock.now_ms() // SECOND_MS
    roots = cell_roots(ledger.data_dir)
    claims, known = None, None
    guards: tuple[Guard, ...] = ()
    try:
        known = recognise(given.evidence)
        verified = verify_under(known, given.endorsements, at_s, roots)
        guards = admit_collateral(ledger, verified)
        claims = verified
        result = judge(claims)
        if accepted(result) and _used(ledger, claims.evidence_key):
            result = with_reasons(result, [_REPLAYED])
    except EvidenceRefusedError as error:
        result = rejected(error.refusal, str(error))
    except MalformedError as error:  # endorsements that can't be sorted
        result = rejected(Refusal.MALFORMED, str(error))
    evidence, *endorsements = (ledger.attach(log_id, stream, one) for one in (given.evidence, *given.endorsements))
    kept = AppraisalKept(
        evidence_format=None if known is None else known.format,
        evidence_key=None if known is None else known.key,
        root=None if claims is None else claims.root,
        platform_evidence=evidence.reference(),
        endorsements=tuple(one.reference() for one in endorsements),
        at_s=at_s,
        trust_vector=result.trust_vector,
        not_appraised=result.not_appraised,
        collateral=() if claims is None else claims.collateral,
        ear=result_signer(ledger).sign(result, claims, issued_at_s=at_s, nonce=nonce),
    )
    return Answered(result, claims, kept, (evidence, *endorsements), guards)


def appraise_platform(
    ledger: Ledger,
    context: Context,
    said: EvidenceReport,
    token: str,
    given: GivenEvidence,
    unusable: str | None,
    certify: Certify,
) -> ExecutionAppraisal:
    """Appraise a platform's evidence for an execution.

    Args:
        ledger: the ledger.
        context: the execution.
        said: the node's report.
        token: the same, signed.
        given: what came beside it.
        unusable: why inputs could not be sealed to the enclave, or None.
        certify: certifies the enclave's key by the tenant's attestation key.

    Raises:
        MalformedError: when what came is not what the report names.
    """
    _require_named(said, given)
    expected, policy = context.expected(), context.policy()
    now_ms = ledger.clock.now_ms()

    def judge(claims: VerifiedClaims) -> AttestationResult:
        result = judge_execution(expected, said, claims, policy, context.queued.facts, now_ms)
        return result if unusable is None else with_reasons(result, [unusable])

    answered = answer(
        ledger, given, judge,
        log_id=context.log_id, stream=stream_of(said.execution), nonce=bytes.fromhex(expected.challenge.nonce),
    )  # fmt: skip
    result, claims = answered.result, answered.claims
    good = accepted(result)
    event = PlatformEvidenceAppraised(
        status=result.status,
        reason=result.reason or VOUCHED,
        evidence_class=said.evidence_class if claims is None else claims.evidence_class.value,
        platform_id=result.platform_id,
        policy_version=context.tenant.policy_version,
        policy_digest=policy.digest(),
        kept=answered.kept,
        certificate=certify(ledger, context, said, sha256(token.encode()).hexdigest()) if good else None,
        **told_by(said, token),
    )
    platform = ledger.platform().log_id
    return ExecutionAppraisal(
        event=event,
        attachments=answered.attachments,
        claims=answered.taken(platform, said.execution),
        guards=answered.guards,
    )


def told_by(said: EvidenceReport, token: str) -> dict[str, Any]:
    """Return the members that an appraisal takes from the node's report."""
    return {
        "execution_id": said.execution,
        "evidence": token,
        "evidence_digest": sha256(token.encode()).hexdigest(),
        "nonce": said.nonce,
        "report_data": said.report_data,
        "cac_key": said.cac_key,
        "hpke_kem_id": said.hpke_kem_id,
        "hpke_key": said.hpke_key,
        "hpke_key_digest": sha256(bytes.fromhex(said.hpke_key)).hexdigest(),
        "engine": said.engine,
        "measurement": said.measurement,
    }


def cell_roots(data_dir: Path | None) -> tuple[Roots, ...]:
    """Return whom evidence may rest on in this cell: what the operator named, and the vendors.

    Raises:
        MalformedError: when a file of roots is damaged, or there are too many.
    """
    if data_dir is None:
        return (vendor_roots(),)
    paths = [data_dir / ROOTS_FILE, *sorted((data_dir / ROOTS_DIRECTORY).glob("*.pem"))]
    if len(paths) > MAX_ROOT_FILES:
        raise MalformedError(f"at most {MAX_ROOT_FILES} files of roots count in a cell")
    named: list[Roots] = []
    for path in paths:
        if path.is_file():
            with path.open("rb") as file:
                named.append(_named(file.read(MAX_ROOT_FILE_BYTES + 1)))
    return (*named, vendor_roots())


def trust_roots(data_dir: Path, pem: bytes) -> None:
    """Let roots count in this cell beside the vendors'; tenants still name them in their policies, or don't.

    Raises:
        ConflictError: when others are trusted already: who operates the cell puts them together in one file.
    """
    path = data_dir / ROOTS_FILE
    if path.is_file():
        if path.read_bytes() != pem:
            raise ConflictError(f"{path} names other roots; add these by hand if they are to count")
        return
    named_roots(pem)
    replace_file(path, pem)


@lru_cache(maxsize=MAX_ROOT_FILES)
def _named(content: bytes) -> Roots:
    return named_roots(content)


def result_signer(ledger: Ledger) -> EarSigner:
    """Return what signs attestation results in this cell."""
    platform = ledger.platform().log_id
    return ledger.once(
        "result-signer", platform, lambda: EarSigner(ledger.keyring.get(platform).result_key(), engine_digest())
    )


def _require_named(said: EvidenceReport, given: GivenEvidence) -> None:
    digests = tuple(sha256(one).hexdigest() for one in (given.evidence, *given.endorsements))
    if digests != (said.platform_evidence, *said.endorsements):
        raise MalformedError("evidence or endorsements are not those that the report names")


def admit_collateral(ledger: Ledger, claims: VerifiedClaims) -> tuple[Guard, ...]:
    """Hold collateral against the highest numbers of the platform log, which rise durably first.

    Returns:
        Guards over the numbers as they stand now.

    Raises:
        EvidenceRefusedError: when one is lower than it was.
        UnavailableError: when they keep rising meanwhile.
    """
    for _ in range(_ATTEMPTS):
        highest, versions = _highest(ledger, claims)
        risen = admit(highest, claims.collateral)
        higher = [source for source, number in sorted(risen.items()) if number != highest.get(source)]
        platform = ledger.platform().log_id
        if not higher:
            return tuple(Guard(platform, collateral_stream(source), versions[source]) for source in sorted(versions))
        events = (CollateralSeen(source=source, number=risen[source]) for source in higher)
        with suppress(ConflictError):  # somebody else's rose first: look again
            ledger.append(
                [Pending(platform, collateral_stream(one.source), versions[one.source] + 1, one) for one in events]
            )
    raise UnavailableError("the numbers of collateral keep rising: send it again")


def _highest(ledger: Ledger, claims: VerifiedClaims) -> tuple[dict[str, int], dict[str, int]]:
    """Return the highest numbers seen of some claims' sources, and the versions of their streams (-1: none)."""
    platform = ledger.platform().log_id
    highest: dict[str, int] = {}
    versions: dict[str, int] = {}
    for source in dict.fromkeys(one.source for one in claims.collateral):
        newest = next(ledger.newest(platform, collateral_stream(source)), None)
        versions[source] = -1
        if newest is not None and isinstance(newest.event, CollateralSeen):
            highest[source], versions[source] = newest.event.number, newest.version
    return highest, versions


def _used(ledger: Ledger, evidence_key: str) -> bool:
    platform = ledger.platform().log_id
    return ledger.recorder.find_command(platform, "evidence", evidence_key) is not None
