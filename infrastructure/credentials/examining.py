"""Any credential, examined for a person: what was checked, what was not, and why it is refused.

Invariants:
- Nothing is told of a credential but what a verified document says; of one whose proof fails, only that.
- Kinds of this ledger are held to their closed shape. Of others the proof, the issuer's hold on the key, the validity
  and the status are checked, and what their claims mean is said not to be.
- Without a trusted issuer from outside the verdict is about consistency, and says so.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from domain.errors import MalformedError
from infrastructure.credentials import executor, node, role, status_list
from infrastructure.credentials.data_integrity import MAX_DOCUMENT_BYTES, canonical_bytes, parse_document
from infrastructure.credentials.delegation import lineage
from infrastructure.credentials.envelope import Envelope, open_envelope
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.resolving import Resolver
from infrastructure.credentials.status_checking import StatusLists
from infrastructure.credentials.status_entry import INFORMING
from infrastructure.credentials.verifiable import CONTEXT, PARENT, Grant

VALID: Final = "valid"
WARNING: Final = "warning"
REFUSED: Final = "refused"

OWN_KINDS: Final = (executor.TYPE, node.TYPE, role.TYPE)
_UNREAD: Final = (
    "credentialSchema", "evidence", "refreshService", "relatedResource", "renderMethod", "termsOfUse",
)  # fmt: skip


@dataclass(slots=True)
class Verdict:
    """What was found. `issuer`, `subject` and `claims` stay None until the proof verified; instants are texts."""

    status: str = VALID
    kind: str | None = None
    issuer: str | None = None
    subject: Any = None
    reason: str | None = None
    detail: str | None = None
    digest: str | None = None
    valid_from: str | None = None
    valid_until: str | None = None
    claims: Any = None
    checks: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Examiner:
    """Examines credentials at an instant.

    Attributes:
        at_ms: the instant.
        resolver: gives the keys of issuers.
        statuses: checks statuses; None: a credential that has one is refused.
        issuers: DIDs whose credentials count; empty: none is known.
    """

    at_ms: int
    resolver: Resolver
    statuses: StatusLists | None = None
    issuers: Collection[str] = ()

    def examine(self, data: bytes) -> Verdict:
        """Examine a credential as it lies in a file. Nothing is raised for what is wrong with it."""
        verdict = Verdict()
        try:
            self._examine(data, verdict)
        except CredentialRefusedError as error:
            verdict.status, verdict.reason, verdict.detail = REFUSED, error.reason.value, error.text
            verdict.claims = None
        except MalformedError as error:
            verdict.status, verdict.reason, verdict.detail = REFUSED, Refusal.MALFORMED.value, str(error)
        return verdict

    def _examine(self, data: bytes, verdict: Verdict) -> None:
        document = parse_document(data, limit=status_list.MAX_LIST_BYTES)
        verdict.checks.append("format: UTF-8 JSON, no member twice, no number of 2^53 or more")
        envelope = open_envelope(document, resolve=self.resolver.at(self.at_ms), limit=_limit(document))
        _tell(verdict, envelope, document)
        own = next((kind for kind in OWN_KINDS if kind in envelope.types), None)
        if own is not None and envelope.document["@context"] == CONTEXT:
            self._own(own, document, verdict)
        else:
            self._foreign(envelope, verdict)
            if own is not None:
                verdict.status, verdict.reason = WARNING, "kind_not_checked"
                verdict.detail = f"it names itself {own}, but not under this ledger's contexts"
        self._tell_lists(verdict)
        verdict.claims = envelope.document["credentialSubject"]

    def _own(self, kind: str, document: Mapping[str, Any], verdict: Verdict) -> None:
        above = lineage(document) if kind == executor.TYPE else (document,)
        issuers = self._trusted(above[0].get("issuer"))
        how: dict[str, Any] = {
            "trusted_issuers": issuers, "at_ms": self.at_ms, "status": self.statuses, "resolver": self.resolver,
        }  # fmt: skip
        grant: Grant
        if kind == executor.TYPE:
            claims = executor.verify_executor(document, **how)
            grant, parents = claims.grant, claims.above
        else:
            grant = (node.verify_node if kind == node.TYPE else role.verify_role)(document, **how).grant
            parents = ()
        self._tell_trust(verdict)
        verdict.checks.append(f"shape: exactly what a {kind} is, every value in its one spelling")
        if parents:
            verdict.checks.append(
                f"delegation: {len(parents)} above it, each in force, none narrower than what it lets"
            )
        verdict.checks.append("validity: begun and not ended")
        if any(one.statuses for one in (grant, *parents)):
            verdict.checks.append("status: neither revoked nor suspended, by lists that their issuers signed")
        else:
            verdict.not_checked.append("status: it names no status list, so it can't be revoked before its end")

    def _foreign(self, envelope: Envelope, verdict: Verdict) -> None:
        self._check_trust(envelope, verdict)
        if PARENT in envelope.document:
            raise CredentialRefusedError(Refusal.MALFORMED, f"a {PARENT} is not for this kind")
        envelope.check_time(self.at_ms)
        verdict.checks.append("validity: begun and not ended, as far as it says")
        if envelope.statuses:
            if self.statuses is None:
                raise CredentialRefusedError(Refusal.STATUS_UNREACHABLE, "it has a status, and no list was given")
            self.statuses.check(envelope.statuses, issuer=envelope.accountable, at_ms=self.at_ms)
            verdict.checks.append("status: neither revoked nor suspended, by lists that their issuers signed")
            purposes = sorted({one.purpose for one in envelope.statuses} & INFORMING)
            verdict.not_checked.extend(f"status: purpose {one} doesn't invalidate and was not read" for one in purposes)
        else:
            verdict.not_checked.append("status: it names no status list, so it can't be revoked before its end")
        if status_list.LIST_TYPE in envelope.types:
            entries = len(status_list.list_of(envelope).bits) * 8
            verdict.checks.append(f"list: expands to {entries} bits")
        else:
            verdict.not_checked.append("claims: what its subject says has a meaning for its own ecosystem")
        verdict.not_checked.extend(f"{one}: not read" for one in _UNREAD if one in envelope.document)

    def _check_trust(self, envelope: Envelope, verdict: Verdict) -> None:
        if not envelope.bound:
            verdict.not_checked.append("issuer: its name is no DID, so nothing ties it to the key that signed")
        if envelope.accountable not in self._trusted(envelope.accountable):
            raise CredentialRefusedError(Refusal.ISSUER_NOT_TRUSTED, "its issuer is not one whose credentials count")
        self._tell_trust(verdict)

    def _trusted(self, said: Any) -> Collection[str]:
        """Return whose credentials count: the trusted issuers, or, where none is known, the one it names."""
        if self.issuers:
            return self.issuers
        return (said,) if isinstance(said, str) else ()

    def _tell_trust(self, verdict: Verdict) -> None:
        if self.issuers:
            verdict.checks.append("trust: its issuer is one of those given")
        else:
            verdict.not_checked.append("trust: no issuer was given from outside, so this is about consistency only")

    def _tell_lists(self, verdict: Verdict) -> None:
        if self.statuses is None:
            return
        if self.statuses.undated:
            verdict.not_checked.append("age of the status list: it names no end")
        if self.statuses.unnamed:
            verdict.not_checked.append("which list it is: it has no id, so who gave the file answers for that")


def _limit(document: Mapping[str, Any]) -> int:
    """Return how long a document may be: status lists are long, other credentials are not."""
    types = document.get("type")
    long = isinstance(types, list) and status_list.LIST_TYPE in types
    return status_list.MAX_LIST_BYTES if long else MAX_DOCUMENT_BYTES


def _tell(verdict: Verdict, envelope: Envelope, document: Mapping[str, Any]) -> None:
    """Say what a credential is whose proof verified."""
    verdict.checks.append("proof: eddsa-jcs-2022 by a key that may sign assertions")
    if envelope.bound:
        verdict.checks.append("signer: the issuer's own key")
    kinds = [one for one in envelope.types if one != "VerifiableCredential"]
    verdict.kind, verdict.issuer = (kinds or ["VerifiableCredential"])[0], envelope.issuer
    subjects = [one.get("id") for one in envelope.subjects]
    verdict.subject = subjects[0] if len(subjects) == 1 else subjects
    verdict.valid_from = envelope.document.get("validFrom")
    verdict.valid_until = envelope.document.get("validUntil")
    verdict.digest = hashlib.sha256(canonical_bytes(document, limit=status_list.MAX_LIST_BYTES)).hexdigest()
