"""Tenants and scopes: accepted by their own keys, endorsed from above, one key for one purpose."""

from dataclasses import replace
from typing import Any

import pytest

from domain.canonical import canonical
from domain.errors import ConflictError, NotAuthorisedError, RefusedError, UnknownError
from domain.hashing import sha256_hex
from domain.policies.kinds import MAX_TENANT_RULES, InCountry, Policy
from domain.statements import ENDORSEMENT, GOVERNANCE, REPORT, SUBMISSION, Signed
from domain.tenants.decisions import (
    accept_registration,
    acceptance_claims,
    adopt_policy,
    endorse,
    endorsement_claims,
    enrol_principal,
    enrolment_claims,
    holder_claims,
    policy_claims,
    revocation_claims,
    revoke_principal,
)
from domain.tenants.state import Tenant, evolve
from tests.domain import samples
from tests.domain.people import admin, kid, signed, tenant


def registration(*names: str, threshold: int = 1) -> Any:
    return samples.tenant_registered(admins=tuple(admin(name) for name in names), threshold=threshold)


def acceptances(registered: Any, *names: str, typ: str = GOVERNANCE, **changes: Any) -> list[Signed]:
    claims = acceptance_claims(registered) | changes
    return [signed(name, claims, typ=typ) for name in names]


def test_a_registration_is_accepted_by_every_admin_key() -> None:
    registered = registration("ada", "bob", threshold=2)
    accept_registration(registered, acceptances(registered, "bob", "ada"))
    scope = samples.scope_registered(admins=(admin("ada"),))
    accept_registration(scope, acceptances(scope, "ada"))


@pytest.mark.parametrize(
    "who", [(), ("ada",), ("ada", "ada"), ("ada", "bob", "bob"), ("ada", "bob", "eve"), ("ada", "eve")]
)
def test_one_key_missing_doubled_or_strange_refuses_a_registration(who: tuple[str, ...]) -> None:
    registered = registration("ada", "bob")
    with pytest.raises(NotAuthorisedError, match="each admin key must sign"):
        accept_registration(registered, acceptances(registered, *who))


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": "other/t/1"},
        {"threshold": 2},
        {"admins": [kid("ada")]},
        {"act": "endorse"},
        {"registration": samples.hexed(0)},
        {"more": 1},
    ],
)
def test_an_acceptance_that_says_something_else_refuses(changes: dict[str, Any]) -> None:
    registered = registration("ada", "bob")
    with pytest.raises(NotAuthorisedError, match="member"):
        accept_registration(registered, acceptances(registered, "ada", "bob", **changes))


def test_an_acceptance_of_another_type_refuses() -> None:
    registered = registration("ada")
    with pytest.raises(NotAuthorisedError, match="governance statement"):
        accept_registration(registered, acceptances(registered, "ada", typ=SUBMISSION))


def test_a_threshold_above_the_number_of_persons_refuses() -> None:
    registered = samples.tenant_registered(admins=(admin("ada"), admin("ada2", "ada")), threshold=2)
    with pytest.raises(RefusedError, match="larger than the number of persons"):
        accept_registration(registered, acceptances(registered, "ada", "ada2"))


def test_one_key_listed_for_two_persons_refuses_else_the_threshold_could_never_be_met() -> None:
    registered = samples.tenant_registered(admins=(admin("ada"), admin("ada", "bob")), threshold=2)
    with pytest.raises(RefusedError, match="listed twice"):
        accept_registration(registered, acceptances(registered, "ada"))


def scope(*endorsers: str, threshold: int = 1) -> Tenant:
    found = evolve(samples.scope_registered(admins=(admin("root"), admin("root2")), threshold=threshold), None)
    for name in endorsers:
        enrolment = samples.enrolled(kid=kid(name), person=name, role="endorser", statement_type=ENDORSEMENT)
        found = evolve(enrolment, found)
    return found


CREDENTIAL = {"id": "urn:uuid:1"}


def endorsements(of: Tenant, *names: str, typ: str = ENDORSEMENT, **changes: Any) -> list[Signed]:
    claims = endorsement_claims(of, sha256_hex(canonical(CREDENTIAL))) | changes
    return [signed(name, claims, typ=typ) for name in names]


def test_a_scope_endorses_a_tenant_with_a_credential() -> None:
    applicant = tenant("ada", endorsed=False)
    event = endorse(scope("e1"), applicant, CREDENTIAL, endorsements(applicant, "e1"))
    assert event.credential_digest == sha256_hex(canonical(CREDENTIAL))
    assert event.statements == ("token.of.e1",)
    found = evolve(event, applicant)
    assert found.endorsed
    assert found.credential == CREDENTIAL
    assert endorse(scope("e1", "e2", threshold=2), applicant, CREDENTIAL, endorsements(applicant, "e1", "e2"))


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        ((), {}, "0 of 1"),
        (("eve",), {}, "enrolled for it"),
        (("root",), {}, "enrolled for it"),
        (("e1",), {"typ": GOVERNANCE}, "enrolled for it"),
        (("e1",), {"dao": "Other"}, "member 'dao'"),
        (("e1",), {"jurisdiction": "FRA"}, "member 'jurisdiction'"),
        (("e1",), {"admins": []}, "member 'admins'"),
        (("e1",), {"tenant": "x"}, "member 'tenant'"),
        (("e1",), {"credential_digest": samples.hexed(0)}, "member 'credential_digest'"),
    ],
)
def test_an_endorsement_that_is_strange_or_says_something_else_refuses(
    names: tuple[str, ...], options: dict[str, Any], says: str
) -> None:
    applicant = tenant("ada", endorsed=False)
    with pytest.raises(NotAuthorisedError, match=says):
        endorse(scope("e1"), applicant, CREDENTIAL, endorsements(applicant, *names, **options))


def test_one_endorser_does_not_count_twice() -> None:
    applicant = tenant("ada", endorsed=False)
    with pytest.raises(NotAuthorisedError, match="1 of 2 endorsements"):
        endorse(scope("e1", threshold=2), applicant, CREDENTIAL, endorsements(applicant, "e1", "e1"))


def enrolment(**changes: Any) -> Any:
    return samples.enrolled(kid=kid("new"), person="nel", role="submitter", statements=(), **changes)


def test_admins_enrol_a_key_for_one_purpose_for_ever() -> None:
    governed = tenant("ada", "bob", threshold=2)
    asked = enrolment(statement_type=REPORT)
    signatures = [signed(name, enrolment_claims(asked)) for name in ("ada", "bob")]
    event = enrol_principal(governed, asked, signatures)
    assert event.statements == ("token.of.ada", "token.of.bob")
    found = evolve(event, governed)
    assert found.principals[kid("new")].statement_type == REPORT
    for statement_type in (REPORT, SUBMISSION, GOVERNANCE, ENDORSEMENT):
        with pytest.raises(ConflictError, match="one key has one purpose"):
            enrol_principal(found, enrolment(statement_type=statement_type), signatures)
    with pytest.raises(ConflictError, match="one key has one purpose"):
        enrol_principal(found, samples.enrolled(kid=kid("ada"), statements=()), signatures)


def test_an_enrolment_below_the_threshold_or_of_another_key_refuses() -> None:
    governed = tenant("ada", "bob", threshold=2)
    with pytest.raises(NotAuthorisedError, match="1 of 2"):
        enrol_principal(governed, enrolment(), [signed("ada", enrolment_claims(enrolment()))])
    other = enrolment_claims(enrolment(public_key=samples.hexed(99)))
    with pytest.raises(NotAuthorisedError, match="'public_key'"):
        enrol_principal(governed, enrolment(), [signed(name, other) for name in ("ada", "bob")])
    with pytest.raises(NotAuthorisedError, match="not enrolled"):
        enrol_principal(governed, enrolment(), [signed("sam", enrolment_claims(enrolment()))])


def test_a_policy_is_adopted_in_versions_by_the_admins_over_its_digest() -> None:
    governed, policy = tenant("ada"), Policy(rules=(InCountry(kind="in_country"),))
    first = adopt_policy(governed, policy, [signed("ada", policy_claims(1, policy.digest()))])
    assert (first.version, first.policy, first.digest) == (1, policy, policy.digest())
    governed = evolve(first, governed)
    assert (governed.policy_version, governed.policy) == (1, policy)
    with pytest.raises(NotAuthorisedError, match="'version'"):
        adopt_policy(governed, policy, [signed("ada", policy_claims(1, policy.digest()))])
    with pytest.raises(NotAuthorisedError, match="'policy_digest'"):
        adopt_policy(governed, Policy(), [signed("ada", policy_claims(2, policy.digest()))])
    assert adopt_policy(governed, Policy(), [signed("ada", policy_claims(2, Policy().digest()))]).version == 2


def test_a_tenant_is_folded_from_its_stream() -> None:
    registered = samples.tenant_registered(admins=(admin("ada"),))
    found = evolve(registered, None)
    assert (found.dao, found.jurisdiction, found.slot, found.origin) == ("ClimateDAO", "DEU", 7, samples.ORIGIN)
    assert not found.endorsed
    assert found.principals[kid("ada")].role == "admin"
    assert (found.version, found.policy_version, found.policy) == (0, 0, Policy())
    moved = evolve(samples.SAMPLES_BY_TOPIC["tenant.key_disclosed.v1"], found)
    assert moved.version == 1
    assert moved == evolve(samples.SAMPLES_BY_TOPIC["time.ticked.v1"], found)


def test_a_scope_is_endorsed_from_the_start_and_names_its_issuers() -> None:
    found = evolve(samples.scope_registered(), None)
    assert (found.dao, found.endorsed, found.issuers) == ("", True, ("did:key:z6Mr",))


@pytest.mark.parametrize(
    "topic",
    [
        "tenant.endorsed.v1",
        "tenant.principal_enrolled.v1",
        "tenant.principal_revoked.v1",
        "tenant.policy_adopted.v1",
        "time.ticked.v1",
    ],
)
def test_a_stream_that_does_not_begin_with_a_registration_is_refused(topic: str) -> None:
    with pytest.raises(RefusedError, match="begins with its registration"):
        evolve(samples.SAMPLES_BY_TOPIC[topic], None)


def test_a_policy_with_too_many_rules_is_not_adopted() -> None:
    policy = Policy(rules=(InCountry(kind="in_country"),) * (MAX_TENANT_RULES + 1))
    with pytest.raises(RefusedError, match="at most 96 rules, not 97"):
        adopt_policy(tenant(), policy, [signed("ada", policy_claims(1, policy.digest()))])


def test_admins_withdraw_a_key_for_ever() -> None:
    governed = tenant("ada", "bob")
    event = revoke_principal(governed, kid("sam"), "stolen", [signed("ada", revocation_claims(kid("sam"), "stolen"))])
    assert (event.kid, event.reason, event.statements) == (kid("sam"), "stolen", ("token.of.ada",))
    found = evolve(event, governed)
    assert kid("sam") not in found.principals
    again = samples.enrolled(kid=kid("sam"), statements=())
    with pytest.raises(ConflictError, match="one key has one purpose"):
        enrol_principal(found, again, [signed("ada", enrolment_claims(again))])
    with pytest.raises(UnknownError, match="no such key"):
        revoke_principal(found, kid("sam"), "stolen", [signed("ada", revocation_claims(kid("sam"), "stolen"))])


def test_a_withdrawal_by_others_or_of_another_key_refuses() -> None:
    governed = tenant("ada", "bob")
    with pytest.raises(NotAuthorisedError, match="'kid'"):
        revoke_principal(governed, kid("sam"), "stolen", [signed("ada", revocation_claims(kid("bob"), "stolen"))])
    with pytest.raises(NotAuthorisedError, match="not enrolled"):
        revoke_principal(governed, kid("ada"), "x", [signed("sam", revocation_claims(kid("ada"), "x"))])


def test_as_many_admins_are_left_as_have_to_sign() -> None:
    governed = tenant("ada", "bob", threshold=2)
    signatures = [signed(name, revocation_claims(kid("bob"), "x")) for name in ("ada", "bob")]
    with pytest.raises(RefusedError, match="1 admins would be left, and 2 have to sign"):
        revoke_principal(governed, kid("bob"), "x", signatures)
    # A key of role admin that signs submissions only can't govern: it does not count as one who is left.
    third = samples.enrolled(kid=kid("cyd"), person="cyd", role="admin", statement_type=SUBMISSION)
    with pytest.raises(RefusedError, match="1 admins would be left"):
        revoke_principal(evolve(third, governed), kid("bob"), "x", signatures)
    third = samples.enrolled(kid=kid("cyd"), person="cyd", role="admin", statement_type=GOVERNANCE)
    assert revoke_principal(evolve(third, governed), kid("bob"), "x", signatures).kid == kid("bob")


def test_a_key_that_accepts_says_so_itself_and_for_nothing_else() -> None:
    governed = tenant("ada")
    asked = samples.holder_enrolled(
        kid=kid("new"), person="nel", statement_type=GOVERNANCE, statements=(), acceptance="token.of.new"
    )
    admins = [signed("ada", enrolment_claims(asked))]
    said = signed("new", holder_claims(asked), typ=GOVERNANCE)
    assert enrol_principal(governed, asked, admins, acceptance=said).acceptance == "token.of.new"
    for other in (
        None, signed("eve", holder_claims(asked)), signed("new", holder_claims(asked), typ=SUBMISSION),
        replace(said, token="another"),
    ):  # fmt: skip
        with pytest.raises(NotAuthorisedError, match="not by the key that is enrolled"):
            enrol_principal(governed, asked, admins, acceptance=other)
    for name, value in (("role", "admin"), ("person", "eve"), ("act", "other"), ("public_key", samples.hexed(9))):
        another = signed("new", {**holder_claims(asked), name: value})
        with pytest.raises(NotAuthorisedError, match=f"'{name}'"):
            enrol_principal(governed, asked, admins, acceptance=another)
    without = [signed("ada", enrolment_claims(samples.enrolled(**asked.model_dump(exclude={"acceptance"}))))]
    with pytest.raises(NotAuthorisedError, match="'acceptance'"):
        enrol_principal(governed, asked, without, acceptance=said)
