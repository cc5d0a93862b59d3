"""Governance acts: the same payload, enrolled keys, right roles, enough distinct persons."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, NotAuthorisedError
from domain.statements import ENDORSEMENT, REPORT, SUBMISSION, Signed, require_claims, require_threshold
from tests.domain import strategies
from tests.domain.people import kid, principal, signed

CLAIMS = {"act": "do", "n": 1}
ENROLLED = {
    p.kid: p
    for p in (
        principal("ada"),
        principal("bob"),
        principal("ada2", person="ada"),
        principal("cid", role="officer"),
        principal("sam", statement_type=SUBMISSION),
        principal("eve", statement_type=ENDORSEMENT),
    )
}


def check(
    *signatures: Signed, roles: set[str] | None = None, threshold: int = 1, excluded: tuple[str, ...] = ()
) -> None:
    require_threshold(
        signatures,
        ENROLLED,
        roles=frozenset(roles or {"admin"}),
        threshold=threshold,
        expected=CLAIMS,
        excluded_persons=frozenset(excluded),
    )


def test_enough_distinct_persons_in_the_role_pass() -> None:
    check(signed("ada", CLAIMS))
    check(signed("ada", CLAIMS), signed("bob", CLAIMS), threshold=2)
    check(signed("ada", CLAIMS), signed("cid", CLAIMS), roles={"admin", "officer"}, threshold=2)


@pytest.mark.parametrize(
    ("signatures", "options", "says"),
    [
        ((), {}, "no signature"),
        ((signed("ada", CLAIMS),), {"threshold": 2}, "1 of 2 signatures needed"),
        ((signed("ada", CLAIMS), signed("ada", CLAIMS)), {"threshold": 2}, "one person signed twice"),
        ((signed("ada", CLAIMS), signed("ada2", CLAIMS)), {"threshold": 2}, "one person signed twice"),
        ((signed("ada", CLAIMS), signed("bob", CLAIMS, jti="1" * 32)), {"threshold": 2}, "not over the same payload"),
        ((signed("ada", CLAIMS), signed("bob", {**CLAIMS, "n": 2})), {"threshold": 2}, "not over the same payload"),
        ((signed("mallory", CLAIMS),), {}, "not enrolled for this"),
        ((signed("sam", CLAIMS),), {}, "not enrolled for this"),
        ((signed("sam", CLAIMS, typ=SUBMISSION),), {}, "not enrolled for this"),
        ((signed("eve", CLAIMS, typ=ENDORSEMENT),), {}, "not enrolled for this"),
        ((signed("ada", CLAIMS, typ=REPORT),), {}, "not enrolled for this"),
        ((signed("cid", CLAIMS),), {}, "role officer may not decide this; it takes one of admin"),
        ((signed("ada", CLAIMS),), {"roles": {"officer", "admiral"}}, "one of admiral, officer"),
        ((signed("ada", CLAIMS),), {"excluded": ("ada",)}, "operator of the node concerned"),
        ((signed("ada", CLAIMS), signed("cid", CLAIMS)), {"threshold": 1}, "role officer"),
    ],
)
def test_what_is_missing_is_said(signatures: tuple[Signed, ...], options: dict[str, Any], says: str) -> None:
    with pytest.raises(NotAuthorisedError, match=says):
        check(*signatures, **options)


@pytest.mark.parametrize(
    ("said", "member"),
    [
        ({}, "act"),
        ({"act": "do"}, "n"),
        ({"act": "do", "n": 2}, "n"),
        ({"act": "do", "n": True}, "n"),
        ({"act": "do", "n": "1"}, "n"),
        ({"act": "do", "n": 1, "more": None}, "more"),
    ],
)
def test_a_member_that_differs_is_missing_or_is_too_many_is_named(said: dict[str, Any], member: str) -> None:
    with pytest.raises(NotAuthorisedError, match=f"member '{member}' differs"):
        require_claims(signed("ada", said), CLAIMS)


def test_registered_claims_are_none_of_the_statements_own() -> None:
    require_claims(signed("ada", CLAIMS, iss="x", aud="y", exp=9), CLAIMS)
    with pytest.raises(NotAuthorisedError, match="'iss'"):
        require_claims(signed("ada", CLAIMS), {**CLAIMS, "iss": "x"})


@given(said=st.dictionaries(st.sampled_from("abc"), strategies.json_values, max_size=3), other=strategies.json_values)
def test_any_other_value_of_any_member_is_refused(said: dict[str, Any], other: Any) -> None:
    require_claims(signed("ada", said), said)
    for name, value in said.items():
        if repr(other) != repr(value):
            with pytest.raises(NotAuthorisedError):
                require_claims(signed("ada", {**said, name: other}), said)


def test_a_float_in_a_statement_is_malformed() -> None:
    with pytest.raises(MalformedError):
        require_claims(signed("ada", {"act": "do", "n": 1.0}), CLAIMS)


def test_a_statement_names_its_command_and_its_issuer() -> None:
    statement = signed("ada", CLAIMS, iss="did:key:x", jti="f" * 32)
    assert (statement.iss, statement.jti, statement.kid) == ("did:key:x", "f" * 32, kid("ada"))
