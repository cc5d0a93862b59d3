"""Readers of a log: enrolled by its admins for some time and jurisdictions, and for nothing else."""

from typing import Any

import pytest

from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.statements import ASSERTION, GOVERNANCE
from domain.tenants.decisions import enrol_principal, enrolment_claims, revocation_claims, revoke_principal
from domain.tenants.events import ReaderEnrolled
from domain.tenants.state import Tenant, evolve
from tests.domain import samples
from tests.domain.people import admin, kid, signed, tenant


def reader(**changes: Any) -> ReaderEnrolled:
    usual: dict[str, Any] = {
        "kid": kid("rita"), "public_key": samples.hexed(1), "person": "rita", "role": "auditor",
        "statement_type": ASSERTION, "jurisdictions": (), "from_ms": 5, "until_ms": None, "statements": (),
    }  # fmt: skip
    return ReaderEnrolled(**{**usual, **changes})


def enrolled(whose: Tenant, one: ReaderEnrolled, *names: str) -> ReaderEnrolled:
    said = [signed(name, enrolment_claims(one), typ=GOVERNANCE) for name in names or ("ada",)]
    return enrol_principal(whose, one, said)


def scope() -> Tenant:
    return evolve(samples.scope_registered(admins=(admin("ada"),)), None)


def test_a_reader_is_enrolled_counts_in_its_time_and_never_returns() -> None:
    whose = tenant("ada")
    whose = evolve(enrolled(whose, reader(until_ms=9)), whose)
    one = whose.principals[kid("rita")]
    assert [one.in_force(at_ms) for at_ms in (4, 5, 8, 9)] == [False, True, True, False]
    with pytest.raises(ConflictError):
        enrolled(whose, reader())
    gone = revoke_principal(whose, kid("rita"), "left", [signed("ada", revocation_claims(kid("rita"), "left"))])
    whose = evolve(gone, whose)
    assert kid("rita") not in whose.principals
    with pytest.raises(ConflictError):
        enrolled(whose, reader())


def test_it_takes_the_admins_at_their_threshold_over_these_very_words() -> None:
    whose = tenant("ada", "bob", threshold=2)
    assert enrolled(whose, reader(), "ada", "bob").statements == ("token.of.ada", "token.of.bob")
    for names in (("ada",), ("ada", "eve"), ("sam", "ada")):
        with pytest.raises(NotAuthorisedError):
            enrolled(whose, reader(), *names)
    others = [signed(name, enrolment_claims(reader(role="admin"))) for name in ("ada", "bob")]
    with pytest.raises(NotAuthorisedError):
        enrol_principal(whose, reader(), others)


def test_a_readers_key_signs_nothing() -> None:
    whose = evolve(enrolled(tenant("ada"), reader()), tenant("ada"))
    with pytest.raises(NotAuthorisedError, match="not enrolled for this"):
        revoke_principal(whose, kid("rita"), "x", [signed("rita", revocation_claims(kid("rita"), "x"))])


@pytest.mark.parametrize(
    ("whose", "changes"),
    [(tenant("ada"), {"until_ms": 5}), (tenant("ada"), {"jurisdictions": ("DEU",)}),
     (scope(), {"jurisdictions": ("DEU", "DEU")})],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(whose: Tenant, changes: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        enrolled(whose, reader(**changes))


def test_a_scopes_reader_may_be_limited_to_jurisdictions() -> None:
    root = scope()
    root = evolve(enrolled(root, reader(jurisdictions=("DEU", "FRA"))), root)
    assert root.principals[kid("rita")].jurisdictions == ("DEU", "FRA")
