"""Verification of a CAC offline: a file in one of three forms, and if there is one a bundle of its log.

Invariants:
- Nothing that lies in the file or the bundle raises: every outcome is a `Verdict`, a refusal with its reason.
- "verified" stands only where a key from outside has signed: of the log (with a bundle), or of the tenant.
- What was not checked is said. Without the issuing entry a CAC is at best self-consistent, and with a bundle that does
  not show it the outcome is a warning.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.cacs.claims import CacClaims, CacRefusedError, Refusal
from domain.errors import LedgerError, MalformedError, UnavailableError
from infrastructure.audit.opening import CONTENT_ERRORS
from infrastructure.cacs.against_log import hold, registered_key
from infrastructure.cacs.alone import Alone, check_alone
from infrastructure.cacs.credential import read_credential
from infrastructure.cacs.presented import Form, Presented, refusing
from infrastructure.cacs.statement import read_statement
from infrastructure.cacs.trail import read_trail
from infrastructure.credentials.data_integrity import MAX_DOCUMENT_BYTES, parse_document
from infrastructure.tlog.tree import TileTree
from infrastructure.tlog.verdict import REFUSED, SELF_CONSISTENT, VERIFIED, Verification

MAX_FILE_BYTES = 2 * MAX_DOCUMENT_BYTES
"""A statement holds the CAC twice: as its payload, and inside the sealed entry."""

_TAGGED = b"\xd2"
_NO_LOG = (
    "that the log issued it, and what its entries say of evidence, release, policy, nonce and submission: no bundle",
    "quorum, rejection, replay, and whether a dispute overturned it: no bundle",
)
_NO_TREE = ("that the tree which the receipt's signer names is the log's own: no bundle",)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one CAC. `issued` is None where no bundle was given, False where it does not show the entry."""

    ok: bool
    trust: str
    form: Form | None = None
    reason: Refusal | None = None
    error: str | None = None
    claims: CacClaims | None = None
    issued: bool | None = None
    checked: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the members of a command's answer."""
        told = self.claims
        return {
            "ok": self.ok,
            "trust": self.trust,
            "form": self.form,
            "reason": None if self.reason is None else self.reason.value,
            "first_error": self.error,
            "cac_id": told.cac_id if told else None,
            "execution_id": told.execution_id if told else None,
            "workload": told.workload if told else None,
            "origin": told.scope if told else None,
            "tenant_info": told.tenant_info.model_dump(mode="json") if told else None,
            "clause_id": told.clause_id if told else None,
            "outcome": told.outcome if told else None,
            "evidence_class": told.evidence_class if told else None,
            "hardware": told.hardware if told else None,
            "released_by": told.released_by if told else None,
            "issued": self.issued,
            "checked": list(self.checked),
            "not_checked": list(self.not_checked),
            "fingerprints": list(self.fingerprints),
        }


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle of the CAC's log: its directory, and how it is verified (once the CAC stands by itself)."""

    directory: Path
    verify: Callable[[], Verification] = field(repr=False)


def verify_cac(
    data: bytes, *, bundle: Bundle | None = None, tenant_key: bytes | None = None, at_ms: int | None = None
) -> Verdict:
    """Verify a CAC.

    Args:
        data: the file: JSON, a credential, or a statement.
        bundle: of its log, or None.
        tenant_key: the tenant's attestation key (32 bytes) from outside, or None.
        at_ms: the instant as of which it is asked about; None for all that there is.

    Raises:
        UnavailableError: when the bundle can't be read for a reason outside.
    """
    try:
        presented = present(data, at_ms=at_ms)
    except CacRefusedError as error:
        return _refused(error, None, None)
    claims: CacClaims | None = None
    try:
        alone = check_alone(presented, tenant_key=tenant_key, at_ms=at_ms)
        claims = alone.claims
        if bundle is None:
            trust = SELF_CONSISTENT if tenant_key is None else VERIFIED
            left = (*alone.not_checked, *(() if presented.receipt is None else _NO_TREE), *_NO_LOG)
            return Verdict(
                ok=True, trust=trust, form=presented.form, claims=claims, checked=alone.checked, not_checked=left
            )
        return _with_bundle(presented, alone, bundle, tenant_key, at_ms)
    except UnavailableError:
        raise
    except CacRefusedError as error:
        return _refused(error, presented.form, claims)
    except CONTENT_ERRORS as error:
        text = str(error) if isinstance(error, LedgerError) else "a document inside is not of its form"
        return _refused(CacRefusedError(Refusal.BUNDLE, text), presented.form, claims)


def present(data: bytes, *, at_ms: int | None) -> Presented:
    """Recognise a form by its content, and verify what lies around the CAC.

    Raises:
        CacRefusedError: when it is none of the three, or does not verify.
    """
    if len(data) > MAX_FILE_BYTES:
        raise CacRefusedError(Refusal.MALFORMED, f"it is longer than {MAX_FILE_BYTES} bytes")
    if data[:1] == _TAGGED:
        return read_statement(data)
    with refusing(Refusal.MALFORMED):
        document = parse_document(data)
        if "credentialSubject" in document:
            return read_credential(document, at_ms=at_ms)
        shown = document.get("cac")
        if isinstance(shown, dict) and document.keys() <= {
            "cac",
            "output",
            "overturned",
        }:  # what `cac show --json` prints
            document = shown
        if "cac_id" not in document:
            raise MalformedError("neither a CAC, nor a credential or a statement of one")
    return Presented("json", document)


def _with_bundle(
    presented: Presented, alone: Alone, bundle: Bundle, tenant_key: bytes | None, at_ms: int | None
) -> Verdict:
    verdict, claims = bundle.verify(), alone.claims
    if not verdict.ok or verdict.size is None:
        raise CacRefusedError(Refusal.BUNDLE, verdict.first_error or "the bundle does not verify")
    if verdict.origin != claims.scope:
        raise CacRefusedError(Refusal.BUNDLE, "the bundle is of another log than the CAC's")
    trail = read_trail(bundle.directory, size=verdict.size, origin=claims.scope, claims=claims, at_ms=at_ms)
    registered = registered_key(trail, claims)
    if registered is not None:
        if tenant_key not in {None, registered}:
            raise CacRefusedError(Refusal.ISSUER, "the tenant's attestation key in the log is another one")
        alone = check_alone(presented, tenant_key=registered, at_ms=at_ms)
    found = hold(trail, TileTree(bundle.directory, verdict.size), presented, claims)
    left = () if registered is not None else alone.not_checked
    return Verdict(
        ok=True,
        trust=verdict.trust,
        form=presented.form,
        claims=claims,
        issued=found.issued,
        checked=(*alone.checked, *found.checked, *verdict.checked),
        not_checked=(*left, *found.not_checked, *verdict.not_checked),
        fingerprints=verdict.fingerprints,
    )


def _refused(error: CacRefusedError, form: Form | None, claims: CacClaims | None) -> Verdict:
    text = error.text[:1000]
    text = text if text.isprintable() else ascii(text)
    return Verdict(ok=False, trust=REFUSED, form=form, reason=error.reason, error=text, claims=claims)
