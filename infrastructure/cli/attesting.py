"""`attestation verify`: evidence and endorsements from files, appraised without any expectation but a nonce.

Invariants:
- Whatever the bytes are, the answer has the same seven members; what was not judged is named.
- Nothing is fetched, and nothing is written unless `--keep` says so.
"""

from pathlib import Path
from typing import Any

import typer

from domain.attestation.appraiser import REPORT_DATA_BYTES, AttestationResult, appraise, rejected
from domain.attestation.claims import VerifiedClaims, Weakness
from domain.attestation.refusal import EvidenceRefusedError, Refusal
from domain.attestation.trust_vector import Tier
from domain.errors import MalformedError
from domain.time import MAX_INSTANT_MS, SECOND_MS, rfc3339
from infrastructure.attestation.collateral_cache import DIRECTORY, FileCache
from infrastructure.attestation.endorsements import Endorsements, read_endorsements
from infrastructure.attestation.recognise import MAX_TEXT_BYTES, Evidence, recognise
from infrastructure.attestation.roots import MAX_ROOT_FILE_BYTES, Roots, named_roots, vendor_roots
from infrastructure.attestation.verify import verify as verify_evidence
from infrastructure.cli.options import instant
from infrastructure.cli.output import GOOD, WARNING, WRONG, result
from infrastructure.client.files import read_bounded
from infrastructure.clock import SystemClock

_CODES = {Tier.AFFIRMING: GOOD, Tier.WARNING: WARNING}
_TOP_LEVEL = {"evidence_class", "platform_id", "environment", "verified_at_s", "fresh_until_s", "collateral_issued_s"}


def verify(
    evidence: Path,
    endorsements: Path | None,
    *,
    at: str | None,
    nonce: str | None,
    trust_root: Path | None,
    keep: bool,
    data_dir: Path,
    as_json: bool,
) -> int:
    """Verify and appraise; return the exit code."""
    at_s = _instant_s(at)
    expected = _nonce(nonce)
    roots = vendor_roots() if trust_root is None else named_roots(read_bounded(trust_root, MAX_ROOT_FILE_BYTES))
    claims, appraised = _appraised(evidence, endorsements, FileCache(data_dir / DIRECTORY), at_s, expected, roots, keep)
    result(_members(claims, appraised), as_json=as_json, lines=_lines(claims, appraised))
    return _CODES.get(appraised.status, WRONG)


def _appraised(
    path: Path, given: Path | None, cache: FileCache, at_s: int, nonce: bytes | None, roots: Roots, keep: bool
) -> tuple[VerifiedClaims | None, AttestationResult]:
    data = _content(path)
    try:
        evidence = recognise(data)
        found = _endorsements(evidence, given, cache)
        claims = verify_evidence(evidence, found, at_s, roots)
        if keep:
            cache.keep(evidence, found, claims)
    except EvidenceRefusedError as error:
        return None, rejected(error.refusal, str(error))
    return claims, appraise(claims, nonce=nonce)


def _endorsements(evidence: Evidence, given: Path | None, cache: FileCache) -> Endorsements:
    try:
        return cache.find(evidence) if given is None else read_endorsements(given)
    except MalformedError as error:
        raise EvidenceRefusedError(Refusal.MALFORMED, f"the endorsements: {error}") from None


def _members(claims: VerifiedClaims | None, appraised: AttestationResult) -> dict[str, Any]:
    return {
        "status": appraised.status.value,
        "evidence_class": appraised.evidence_class,
        "trust_vector": appraised.trust_vector.members(),
        "claims": {} if claims is None else _claims(claims),
        "platform_id": appraised.platform_id,
        "reason": appraised.reason,
        "not_appraised": list(appraised.not_appraised),
    }


def _claims(claims: VerifiedClaims) -> dict[str, Any]:
    environment = claims.environment.model_dump(mode="json", exclude={"kind"})
    return {
        **claims.model_dump(mode="json", exclude=_TOP_LEVEL),
        **environment,
        "debug": Weakness.DEBUG in claims.weaknesses,
        "verified_at": rfc3339(claims.verified_at_s * SECOND_MS),
        "fresh_until": rfc3339(claims.fresh_until_s * SECOND_MS),
    }


def _lines(claims: VerifiedClaims | None, appraised: AttestationResult) -> list[str]:
    lines = [f"{appraised.status.value}" + (f"  {appraised.reason}" if appraised.reason else "")]
    if claims is not None:
        lines += [
            f"  {claims.format.value} under a {claims.evidence_class.value} root",
            f"  machine {claims.platform_id or 'unnamed'}",
            f"  measurement {claims.measurement}",
            f"  report data {claims.report_data}",
            f"  endorsements hold until {rfc3339(claims.fresh_until_s * SECOND_MS)}",
        ]
    if appraised.not_appraised:
        lines.append(f"  not appraised: {', '.join(appraised.not_appraised)}")
    return lines


def _content(path: Path) -> bytes:
    """Return a file's bytes, cut off where no evidence is that long: `recognise` then says so."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise MalformedError(f"cannot read {path}: {error.strerror}") from None


def _instant_s(text: str | None) -> int:
    at_ms = SystemClock().now_ms() if text is None else instant(text)
    if not 0 <= at_ms <= MAX_INSTANT_MS:
        raise typer.BadParameter("an instant lies between the years 1970 and 9999")
    return at_ms // SECOND_MS


def _nonce(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        nonce = bytes.fromhex(text.removeprefix("0x").removeprefix("0X"))
    except ValueError:
        raise typer.BadParameter("a nonce is hex") from None
    if not 0 < len(nonce) <= REPORT_DATA_BYTES:
        raise typer.BadParameter(f"a nonce is 1 to {REPORT_DATA_BYTES} bytes")
    return nonce
