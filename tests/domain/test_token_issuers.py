"""Issuers of tokens: admitted, replaced and revoked by a log's admins, and whom their claims show."""

from typing import Any

import pytest
from pydantic import ValidationError

from domain.access.recognising import federated_kid
from domain.access.token_issuers import EcKey, OkpKey, RoleRule, RsaKey, TokenIssuer, key_digest
from domain.errors import ConflictError, NotAuthorisedError, RefusedError, UnknownError
from domain.statements import GOVERNANCE, Signed
from domain.tenants.events import TokenIssuerRevoked
from domain.tenants.state import Tenant, evolve
from domain.tenants.token_issuers import (
    MAX_TOKEN_ISSUERS,
    admission_claims,
    admit_token_issuer,
    revocation_claims,
    revoke_token_issuer,
)
from tests.domain import samples
from tests.domain.people import admin, signed, tenant

ISSUER = "https://id.example"


def key(number: int, kid: str | None = "k1") -> OkpKey:
    return OkpKey(kid=kid, kty="OKP", crv="Ed25519", x=f"{number:043d}")


def rule(role: str = "auditor", **changes: Any) -> RoleRule:
    return RoleRule(**{"claim": ("groups",), "value": "auditors", "role": role, **changes})


def issuer(**changes: Any) -> TokenIssuer:
    usual: dict[str, Any] = {
        "issuer": ISSUER, "audience": "ledger", "token_type": "JWT", "keys": (key(1),), "rules": (rule(),),
        "from_ms": 0, "until_ms": None,
    }  # fmt: skip
    return TokenIssuer(**{**usual, **changes})


def scope() -> Tenant:
    return evolve(samples.scope_registered(admins=(admin("ada"),), threshold=1, issuers=()), None)


def words(admitted: TokenIssuer, *names: str) -> list[Signed]:
    return [signed(name, admission_claims(admitted), typ=GOVERNANCE) for name in names or ("ada",)]


def admitted(whose: Tenant, one: TokenIssuer) -> Tenant:
    return evolve(admit_token_issuer(whose, one, words(one)), whose)


def revoked(whose: Tenant, name: str = ISSUER) -> Tenant:
    said = [signed("ada", revocation_claims(name, "left"), typ=GOVERNANCE)]
    return evolve(revoke_token_issuer(whose, name, "left", said), whose)


def test_an_issuer_is_admitted_replaced_and_revoked_and_its_keys_never_return() -> None:
    whose = admitted(tenant("ada"), issuer())
    replaced = issuer(keys=(key(2, "k2"),), audience="other")
    whose = admitted(whose, replaced)
    assert whose.token_issuers == {ISSUER: replaced}
    whose = revoked(whose)
    assert whose.token_issuers == {}
    assert whose.former_token_keys == {key_digest(key(1)), key_digest(key(2))}
    with pytest.raises(UnknownError):
        revoked(whose)
    for again in (issuer(), issuer(keys=(key(2, "renamed"),)), issuer(issuer="https://other.example")):
        with pytest.raises(ConflictError):
            admitted(whose, again)
    assert ISSUER in admitted(whose, issuer(keys=(key(3),))).token_issuers


def test_no_key_is_two_issuers() -> None:
    whose = admitted(admitted(tenant("ada"), issuer()), issuer(keys=(key(2),)))
    for shared in (key(1), key(2)):
        with pytest.raises(ConflictError, match="another issuer's"):
            admitted(whose, issuer(issuer="https://other.example", keys=(shared,)))
    other = admitted(whose, issuer(issuer="https://other.example", keys=(key(3),)))
    assert admitted(other, issuer(keys=(key(1),))).token_issuers[ISSUER].keys == (key(1),)


def test_it_takes_the_admins_at_their_threshold_over_these_very_words() -> None:
    whose, one = tenant("ada", "bob", threshold=2), issuer()
    assert admit_token_issuer(whose, one, words(one, "ada", "bob")).admitted == one
    for signatures in ([], words(one), words(one, "ada", "eve"), words(one, "ada", "sam"),
                       words(issuer(audience="x"), "ada", "bob")):  # fmt: skip
        with pytest.raises(NotAuthorisedError):
            admit_token_issuer(whose, one, signatures)
    with pytest.raises(NotAuthorisedError):
        revoke_token_issuer(admitted(tenant("ada"), one), ISSUER, "another reason",
                            [signed("ada", revocation_claims(ISSUER, "left"))])  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"from_ms": 9, "until_ms": 9}, {"keys": (key(1), key(2))}, {"keys": (key(1), key(1, "k2"))},
        {"keys": (key(1), key(2, None))}, {"rules": (rule("releaser"),)}, {"rules": (rule("resolver"),)},
        {"rules": (rule("node"),)}, {"rules": (rule(jurisdictions=("DEU",)),)}, {"rules": (rule("signatory"),)},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        admitted(tenant("ada"), issuer(**changes))


def test_scopes_have_their_own_roles_limited_to_jurisdictions() -> None:
    assert admitted(scope(), issuer(rules=(rule("resolver", jurisdictions=("DEU", "FRA")),))).token_issuers
    for one in (rule("submitter"), rule("resolver", jurisdictions=("DEU", "DEU"))):
        with pytest.raises(RefusedError):
            admitted(scope(), issuer(rules=(one,)))


def test_there_are_not_too_many() -> None:
    whose = tenant("ada")
    for number in range(MAX_TOKEN_ISSUERS):
        whose = admitted(whose, issuer(issuer=f"https://id{number}.example", keys=(key(number),)))
    with pytest.raises(RefusedError, match="at most"):
        admitted(whose, issuer(issuer="https://more.example", keys=(key(98),)))
    assert admitted(whose, issuer(issuer="https://id0.example", keys=(key(99),))).token_issuers


def test_the_first_rule_that_fits_is_the_first_of_those_that_fit() -> None:
    rules = (rule(), rule("admin", claim=("a", "b"), value="x"), rule("submitter", claim=("scope",), value="read"))
    one = issuer(rules=rules)
    for claims, found in (
        ({"groups": ["auditors"], "a": {"b": "x"}}, [0, 1]), ({"groups": "auditors"}, [0]), ({}, []),
        ({"a": {"b": ["y", "x"]}}, [1]),
        ({"a": "x"}, []), ({"a": {"c": "x"}}, []), ({"groups": {"auditors": 1}}, []), ({"groups": True}, []),
        ({"groups": [1, None, ["auditors"]]}, []), ({"scope": "read write"}, []), ({"groups": "Auditors"}, []),
    ):  # fmt: skip
        assert one.rules_for(claims) == found, claims


def test_which_key_a_token_means() -> None:
    two = issuer(keys=(key(1), key(2, "k2")))
    assert two.key_for("k2") == key(2, "k2")
    assert two.key_for(None) is None
    assert two.key_for("k3") is None
    assert issuer(keys=(key(1, None),)).key_for(None) == key(1, None)
    assert issuer(keys=(key(1, None),)).key_for("k1") is None
    assert issuer().key_for(None) == key(1)


def test_when_it_counts_and_what_names_it() -> None:
    one = issuer(from_ms=5, until_ms=9)
    assert [one.in_force(at) for at in (4, 5, 8, 9)] == [False, True, True, False]
    assert issuer().in_force(2**50)
    assert one.digest() != issuer(from_ms=5, until_ms=8).digest()
    assert federated_kid("https://a", "bc") != federated_kid("https://ab", "c")
    assert len(federated_kid(ISSUER, "x")) == 43


@pytest.mark.parametrize(
    "url",
    ["http://id.example", "https://", "https://id.example?x=1", "https://id.example#x", "id.example", "https://a b",
     "https://u@id.example", "https://id.example\n", "https://id.example/" + "x" * 512, "HTTPS://id.example", ""],
)  # fmt: skip
def test_an_issuer_is_an_https_url(url: str) -> None:
    with pytest.raises(ValidationError):
        issuer(issuer=url)


def test_keys_have_their_forms() -> None:
    assert issuer(issuer="https://id.example:8443/realms/a/").keys
    for kind, members in (
        (OkpKey, {"kty": "OKP", "crv": "Ed25519", "x": "x" * 42}),
        (OkpKey, {"kty": "OKP", "crv": "X25519", "x": "x" * 43}),
        (EcKey, {"kty": "EC", "crv": "P-384", "x": "x" * 43, "y": "y" * 43}),
        (RsaKey, {"kty": "RSA", "n": "n" * 341, "e": "AQAB"}),
        (RsaKey, {"kty": "RSA", "n": "n" * 684, "e": "AQAB"}), (RsaKey, {"kty": "RSA", "n": "n" * 342, "e": "Aw"}),
        (RsaKey, {"kty": "RSA", "n": "n" * 342, "e": "AQAB", "d": "d"}),
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            kind.model_validate(members)


def test_a_revocation_that_nothing_precedes_changes_no_keys() -> None:
    whose = evolve(TokenIssuerRevoked(issuer=ISSUER, reason="", statements=()), tenant("ada"))
    assert whose.former_token_keys == frozenset()
