"""Registration of tenants and scopes at a server: what it drafts is held against what was meant before anybody signs.

Invariants:
- A registration names the admins, threshold and keys that were meant, lies below the scope that asks, and in a log of
  the same ledger. What else is in it (the log's number and keys) is the server's to make.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from domain.canonical import canonical
from domain.errors import RefusedError, VerificationError
from domain.executions.releases import RELEASER
from domain.hashing import sha256_hex
from domain.jurisdictions import parse_jurisdiction
from domain.statements import ENDORSEMENT, GOVERNANCE
from domain.tenants.decisions import acceptance_claims, endorsement_claims, enrolment_claims
from domain.tenants.events import PrincipalEnrolled, ScopeKind, ScopeRegisteredBelow, TenantRegistered
from domain.tenants.scopes import scope_claims
from domain.tenants.state import evolve as evolve_tenant
from infrastructure.client.acts import principal
from infrastructure.client.answers import Written
from infrastructure.client.granting import Wanted
from infrastructure.client.remote import Remote
from infrastructure.client.signing import admin_key
from infrastructure.commands.tenants import OwnCustody
from infrastructure.keys.wallet import Purpose, Wallet

_DraftT = TypeVar("_DraftT", TenantRegistered, ScopeRegisteredBelow)
_LOG: Final = "/t/"


@dataclass(frozen=True, slots=True)
class Admins:
    """Who accepts a registration: the wallets of its admins, and how many of them an act takes."""

    wallets: Sequence[Wallet]
    threshold: int

    @property
    def did(self) -> str:
        """Return the DID under which they govern: the first one's."""
        return self.wallets[0].did(Purpose.GOVERNANCE)

    def members(self) -> dict[str, Any]:
        """Return what a registration says of them.

        Raises:
            RefusedError: when there are too few.
        """
        keys = [admin_key(one) for one in self.wallets]
        if len({key.person for key in keys}) < self.threshold:
            raise RefusedError("the threshold is larger than the number of persons")
        return {"did": self.did, "admins": [key.model_dump() for key in keys], "threshold": self.threshold}


def register_tenant(
    remote: Remote, *, dao: str, jurisdiction: str, admins: Admins, endorsers: Sequence[Wallet], wanted: Wanted,
    now_ms: int, custody: OwnCustody | None = None, releaser: Wallet | None = None,
) -> tuple[TenantRegistered, Written]:  # fmt: skip
    """Register a tenant below the scope that `remote` asks for: its admins accept, the scope's endorsers endorse.

    The first admin's submission key is enrolled too, and with `custody` the releaser's (the first admin's, unless
    `releaser` is another). `wanted` is the TEEExecutorVC that it gets, signed by the first endorser.
    """
    asking, (own, scope) = admins.members(), _own(remote)
    credential = wanted.credential(now_ms, endorsers[0], did=admins.did, dao=dao, jurisdiction=jurisdiction)
    keys = None
    if custody is not None:
        keys = {"release_key": custody.release_key.hex(), "output_key": custody.output_key.hex()}
    body = {"dao": dao, "jurisdiction": jurisdiction, **asking, "credential": credential, "custody": keys}
    drafted, told = _drafted(remote, "/v1/tenants/drafts", body, TenantRegistered)
    meant = {
        **asking, "dao": dao, "jurisdiction": parse_jurisdiction(jurisdiction), "jurisdiction_as_given": jurisdiction,
        "acceptances": [], "parent": own, "custody": None if keys is None else "tenant", **(keys or {}),
    }  # fmt: skip
    _require_meant(drafted.model_dump(mode="json") | {"custody": drafted.custody}, meant, own)
    key = {drafted.origin: remote.acknowledges(drafted.origin, told)}
    endorsement = endorsement_claims(evolve_tenant(drafted, None), sha256_hex(canonical(credential)))
    enrolled = [principal(admins.wallets[0], Purpose.SUBMISSION, "submitter", "ledger-submission+jwt")]
    if custody is not None:
        enrolled.append(principal(releaser or admins.wallets[0], Purpose.ENDORSEMENT, RELEASER, ENDORSEMENT))
    accepted = remote.signed(
        admins.wallets, GOVERNANCE, iss=admins.did, aud=drafted.origin, claims=acceptance_claims(drafted)
    )
    endorsed = remote.signed(endorsers, ENDORSEMENT, iss=scope, aud=drafted.origin, claims=endorsement)
    whole = {
        "registration": drafted.payload(), "acceptances": list(accepted), "credential": credential,
        "endorsements": list(endorsed), "enrolments": _enrolments(remote, admins, drafted.origin, enrolled),
    }  # fmt: skip
    return drafted, remote.handed_in("/v1/tenants", accepted, whole, key)


def register_scope(
    remote: Remote, *, name: str, kind: ScopeKind, admins: Admins, parents: Sequence[Wallet]
) -> tuple[ScopeRegisteredBelow, Written]:
    """Register a scope below the one that `remote` asks for: its admins accept, those of the scope above endorse.

    Its admins' keys for endorsements are enrolled too, and their credential keys issue for the tenants below it.
    """
    asking, (own, above) = admins.members(), _own(remote)
    issuers = [wallet.did(Purpose.CREDENTIAL) for wallet in admins.wallets]
    body = {"name": name, "kind": kind, **asking, "issuers": issuers}
    drafted, told = _drafted(remote, "/v1/scopes/drafts", body, ScopeRegisteredBelow)
    meant = {**body, "acceptances": [], "endorsements": [], "parent": own}
    _require_meant(drafted.model_dump(mode="json"), meant, own)
    key = {drafted.origin: remote.acknowledges(drafted.origin, told)}
    enrolled = [principal(wallet, Purpose.ENDORSEMENT, "endorser", ENDORSEMENT) for wallet in admins.wallets]
    accepted = remote.signed(
        admins.wallets, GOVERNANCE, iss=admins.did, aud=drafted.origin, claims=acceptance_claims(drafted)
    )
    endorsed = remote.signed(parents, GOVERNANCE, iss=above, aud=drafted.origin, claims=scope_claims(drafted))
    whole = {
        "registration": drafted.payload(), "acceptances": list(accepted), "endorsements": list(endorsed),
        "enrolments": _enrolments(remote, admins, drafted.origin, enrolled),
    }  # fmt: skip
    return drafted, remote.handed_in("/v1/scopes", accepted, whole, key)


def _own(remote: Remote) -> tuple[str, str]:
    """Return origin and DID of the scope that asks."""
    row = remote.own(Purpose.GOVERNANCE)
    return str(row["origin"]), str(row["did"])


def _drafted(remote: Remote, path: str, body: Mapping[str, Any], kind: type[_DraftT]) -> tuple[_DraftT, object]:
    """Return a draft, and by which key its log will acknowledge, as the server says it."""
    answer = remote.asked(path, body)
    try:
        return kind.model_validate_json(canonical(answer.get("registration"))), answer.get("acknowledgement_key")
    except ValidationError:
        raise VerificationError("the server's draft is no registration") from None


def _require_meant(drafted: Mapping[str, Any], meant: Mapping[str, Any], own: str) -> None:
    """Hold a draft against what was meant.

    Raises:
        VerificationError: naming the first member that differs.
    """
    for name, value in meant.items():
        if canonical(drafted.get(name)) != canonical(value):
            raise VerificationError(f"the server drafted another registration than was meant: {name} differs")
    host, _, slot = str(drafted["origin"]).rpartition(_LOG)
    if host != own.rpartition(_LOG)[0] or slot != str(drafted["slot"]) or drafted["origin"] == own:
        raise VerificationError("the server drafted a registration of another ledger's log")


def _enrolments(
    remote: Remote, admins: Admins, aud: str, enrolled: Sequence[PrincipalEnrolled]
) -> list[dict[str, Any]]:
    return [
        {
            "principal": one.payload(),
            "statements": list(
                remote.signed(admins.wallets, GOVERNANCE, iss=admins.did, aud=aud, claims=enrolment_claims(one))
            ),
        }
        for one in enrolled
    ]
