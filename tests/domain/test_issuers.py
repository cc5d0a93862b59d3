"""Issuers of a scope: enrolled and withdrawn by its admins, never twice."""

import pytest

from domain.errors import ConflictError, NotAuthorisedError, RefusedError, UnknownError
from domain.statements import GOVERNANCE, Signed
from domain.tenants.events import PolicyAdopted
from domain.tenants.issuers import (
    MAX_ISSUERS,
    enrol_issuer,
    enrolment_claims,
    revocation_claims,
    revoke_issuer,
)
from domain.tenants.state import Tenant, evolve
from tests.domain import samples
from tests.domain.people import admin, signed, tenant

DID = "did:web:issuer.example"


def scope(*issuers: str, threshold: int = 1) -> Tenant:
    registered = samples.scope_registered(admins=(admin("ada"), admin("bob")), threshold=threshold, issuers=issuers)
    return evolve(registered, None)


def enrolment(did: str = DID, *names: str) -> list[Signed]:
    return [signed(name, enrolment_claims(did), typ=GOVERNANCE) for name in names or ("ada",)]


def revocation(did: str = DID, reason: str = "stolen") -> list[Signed]:
    return [signed("ada", revocation_claims(did, reason), typ=GOVERNANCE)]


def test_an_issuer_is_enrolled_withdrawn_and_never_returns() -> None:
    root = scope("did:key:first")
    root = evolve(enrol_issuer(root, DID, enrolment()), root)
    assert root.issuers == ("did:key:first", DID)
    with pytest.raises(ConflictError):
        enrol_issuer(root, DID, enrolment())
    root = evolve(revoke_issuer(root, DID, "stolen", revocation()), root)
    assert (root.issuers, root.former_issuers) == (("did:key:first",), frozenset({DID}))
    with pytest.raises(ConflictError):
        enrol_issuer(root, DID, enrolment())
    with pytest.raises(UnknownError):
        revoke_issuer(root, DID, "stolen", revocation())


def test_it_takes_the_scopes_admins_at_their_threshold_over_these_very_words() -> None:
    root = scope(threshold=2)
    assert enrol_issuer(root, DID, enrolment(DID, "ada", "bob")).did == DID
    for signatures in ([], enrolment(), enrolment(DID, "ada", "eve"), enrolment("did:web:x.example", "ada", "bob")):
        with pytest.raises(NotAuthorisedError):
            enrol_issuer(root, DID, signatures)
    with pytest.raises(NotAuthorisedError):
        revoke_issuer(scope(DID), DID, "another reason", revocation())


def test_tenants_have_no_issuers_and_scopes_not_too_many() -> None:
    with pytest.raises(RefusedError):
        enrol_issuer(tenant(), DID, enrolment())
    full = scope(*(f"did:key:{number}" for number in range(MAX_ISSUERS)))
    with pytest.raises(RefusedError, match="at most 16"):
        enrol_issuer(full, DID, enrolment())


def test_a_stream_does_not_begin_with_an_issuer() -> None:
    for event in samples.SAMPLES:
        if event.TOPIC.startswith("scope.issuer_") or isinstance(event, PolicyAdopted):
            with pytest.raises(RefusedError):
                evolve(event, None)
