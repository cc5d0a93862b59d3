"""Delegation: chains link by link; never wider than the parent; what ends a parent ends its children."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.jurisdictions import countries_within
from infrastructure.credentials.data_integrity import Document, add_proof
from infrastructure.credentials.delegation import MAX_PARENTS
from infrastructure.credentials.executor import (
    Delegation,
    ExecutorClaims,
    ExecutorSubject,
    issue_executor,
    verify_executor,
)
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.keys import did_key, ed25519

KEYS = [ed25519.private_key(bytes([n]) * 32) for n in range(1, 8)]
DIDS = [did_key.did_key(ed25519.public_bytes(key)) for key in KEYS]
TENANT = DIDS[-1]
FROM, UNTIL = 1_767_225_600_000, 1_798_761_600_000
AT = FROM + 86_400_000
FAMILIES = ("A::B::C", "A::B::D", "A::B::E")
CLASSES = ("Disaster::Flood@v1", "Disaster::Drought@v1")


def subject(**changes: Any) -> ExecutorSubject:
    named: dict[str, Any] = {
        "id": TENANT, "dao": "ClimateDAO", "jurisdiction": "EU", "clause_families": FAMILIES,
        "resource_classes": CLASSES, "maximum_memory_bytes": 1 << 20,
    }  # fmt: skip
    return ExecutorSubject(**{**named, **changes})


def delegated(below: int, depth: int = MAX_PARENTS) -> Delegation:
    return Delegation(issuer=DIDS[below], depth=depth)


def issued(
    by: int, of: ExecutorSubject, parent: Document | None = None, *, begins_ms: int = FROM, ends_ms: int = UNTIL
) -> Document:
    return issue_executor(of, KEYS[by], valid_from_ms=begins_ms, valid_until_ms=ends_ms, created_ms=FROM, parent=parent)


PARENT = issued(0, subject(delegation=delegated(1, 1)))


def verify(document: Document, at_ms: int = AT) -> ExecutorClaims:
    return verify_executor(json.loads(json.dumps(document)), trusted_issuers=(DIDS[0],), at_ms=at_ms)


def refused(document: Document, at_ms: int = AT) -> CredentialRefusedError:
    with pytest.raises(CredentialRefusedError) as error:
        verify(document, at_ms)
    return error.value


def test_a_child_verifies_to_its_own_claims_with_those_above_it() -> None:
    child = issued(1, subject(jurisdiction="DEU", clause_families=FAMILIES[:1]), PARENT)
    claims = verify(child)
    assert claims.subject.jurisdiction == "DEU"
    assert [one.issuer for one in (*claims.above, claims.grant)] == DIDS[:2]


def test_chains_are_as_deep_as_allowed_and_no_deeper() -> None:
    document = issued(0, subject(delegation=delegated(1)))
    for number in range(1, MAX_PARENTS + 1):
        left = MAX_PARENTS - number
        below = subject(delegation=delegated(number + 1, left) if left else None)
        document = issued(number, below, document)
        assert len(verify(document).above) == number
    assert refused(issued(MAX_PARENTS + 1, subject(), document)).reason is Refusal.DELEGATION


def test_whom_the_parent_does_not_name_may_not_issue() -> None:
    assert refused(issued(2, subject(), PARENT)).reason is Refusal.ISSUER_NOT_TRUSTED
    assert refused(issued(0, subject(), PARENT)).reason is Refusal.ISSUER_NOT_TRUSTED
    assert refused(issued(1, subject(), issued(0, subject()))).reason is Refusal.DELEGATION
    assert refused(issued(1, subject())).reason is Refusal.ISSUER_NOT_TRUSTED


@pytest.mark.parametrize(
    ("wider", "what"),
    [
        ({"dao": "OtherDAO"}, "DAO"),
        ({"jurisdiction": "KEN"}, "jurisdiction"),
        ({"jurisdiction": "INTL"}, "jurisdiction"),
        ({"clause_families": ("A::B::Z",)}, "families"),
        ({"clause_families": (*FAMILIES, "A::B::Z")}, "families"),
        ({"resource_classes": (*CLASSES, "Disaster::Fire@v1")}, "classes"),
        ({"maximum_memory_bytes": (1 << 20) + 1}, "memory"),
        ({"delegation": delegated(2, 1)}, "depth"),
    ],
)
def test_a_child_that_is_wider_than_its_parent_is_refused(wider: dict[str, Any], what: str) -> None:
    error = refused(issued(1, subject(**wider), PARENT))
    assert error.reason is Refusal.DELEGATION
    assert what in str(error)


def test_a_validity_beyond_the_parents_is_refused() -> None:
    for times in ({"begins_ms": FROM - 1}, {"ends_ms": UNTIL + 1}):
        assert refused(issued(1, subject(), PARENT, **times)).reason is Refusal.DELEGATION
    assert verify(issued(1, subject(), PARENT, begins_ms=FROM, ends_ms=UNTIL))


def test_a_parent_that_ended_or_never_was_good_ends_its_children() -> None:
    short = issued(0, subject(delegation=delegated(1, 1)), ends_ms=AT)
    child = issued(1, subject(), short, ends_ms=AT)
    assert verify(child, AT - 1)
    assert (refused(child, AT).reason, refused(child, AT).text[:10]) == (Refusal.EXPIRED, "its parent")
    forged = {**PARENT, "validUntil": "2099-01-01T00:00:00Z"}
    assert refused(issued(1, subject(), forged)).reason is Refusal.SIGNATURE
    stranger = issued(3, subject(delegation=delegated(1, 1)))
    assert refused(issued(1, subject(), stranger)).reason is Refusal.ISSUER_NOT_TRUSTED


def test_another_parent_in_place_of_the_signed_one_is_refused() -> None:
    other = issued(0, subject(delegation=delegated(1, 1), maximum_memory_bytes=1 << 21))
    child = issued(1, subject(), PARENT)
    assert refused({**child, "parentCredential": other}).reason is Refusal.SIGNATURE
    without = {name: value for name, value in child.items() if name != "parentCredential"}
    assert refused(without).reason is Refusal.ISSUER_NOT_TRUSTED
    assert refused({**PARENT, "parentCredential": PARENT}).reason is Refusal.ISSUER_NOT_TRUSTED


@pytest.mark.parametrize("parent", [None, [], "x", [PARENT], {}, 7])
def test_a_parent_of_another_shape_is_malformed(parent: Any) -> None:
    unsigned = {name: value for name, value in issued(1, subject()).items() if name != "proof"}
    signed = add_proof({**unsigned, "parentCredential": parent}, KEYS[1], created_ms=FROM)
    assert refused(signed).reason is Refusal.MALFORMED


def test_a_chain_without_end_is_refused_before_anything_is_verified() -> None:
    document: dict[str, Any] = {}
    for _ in range(400):
        document = {"parentCredential": document}
    assert refused(document).reason is Refusal.DELEGATION


subjects = st.builds(
    subject,
    dao=st.sampled_from(["ClimateDAO", "OtherDAO"]),
    jurisdiction=st.sampled_from(["EU", "DEU", "FRA", "KEN", "INTL"]),
    clause_families=st.lists(st.sampled_from(FAMILIES), min_size=1, unique=True).map(tuple),
    resource_classes=st.lists(st.sampled_from(CLASSES), min_size=1, unique=True).map(tuple),
    maximum_memory_bytes=st.sampled_from([1, 2, 2**53, 2**60]),
)
windows = st.tuples(st.integers(0, 3), st.integers(1, 4))


@given(st.lists(st.tuples(subjects, windows, st.integers(0, MAX_PARENTS)), min_size=2, max_size=MAX_PARENTS + 1))
def test_what_verifies_never_reaches_further_than_anything_above_it(
    links: list[tuple[ExecutorSubject, tuple[int, int], int]],
) -> None:
    document: Document | None = None
    for number, (of, (begin, length), depth) in enumerate(links):
        named = of.model_copy(update={"delegation": delegated(number + 1, depth) if depth else None})
        begins_ms = FROM + begin
        document = issued(number, named, document, begins_ms=begins_ms, ends_ms=begins_ms + length)
    assert document is not None
    for at_ms in range(FROM, FROM + 8):
        try:
            claims = verify(document, at_ms)
        except CredentialRefusedError:
            continue
        leaf = links[-1][0]
        for of, (begin, length), _ in links[:-1]:
            assert leaf.dao == of.dao
            assert leaf.jurisdiction in {of.jurisdiction} | countries_within(of.jurisdiction)
            assert set(leaf.clause_families) <= set(of.clause_families)
            assert set(leaf.resource_classes) <= set(of.resource_classes)
            assert leaf.maximum_memory_bytes <= of.maximum_memory_bytes
            assert FROM + begin <= at_ms < FROM + begin + length
        assert len(claims.above) == len(links) - 1 <= links[0][2]


@given(st.integers(0, 10**6), st.integers(1, 127))
def test_any_changed_byte_of_a_chain_refuses(at: int, change: int) -> None:
    data = bytearray(json.dumps(issued(1, subject(), PARENT)).encode())
    data[at % len(data)] ^= change
    try:
        document = json.loads(data)
    except ValueError:
        return
    assume(isinstance(document, dict) and document != issued(1, subject(), PARENT))
    with pytest.raises(CredentialRefusedError):
        verify_executor(document, trusted_issuers=(DIDS[0],), at_ms=AT)
