"""A policy file is read strictly: what is wrong is named, and nothing but MalformedError ever comes out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.canonical import canonical
from domain.errors import MalformedError
from domain.hashing import sha256_hex
from domain.policies.kinds import MAX_POLICY_BYTES, MAX_TENANT_RULES, InCountry, Policy, ReAuthorisation, parse_policy
from domain.time import MAX_INSTANT_MS
from tests.domain import strategies

GOOD: dict[str, dict[str, Any]] = {
    "in_country": {"kind": "in_country", "countries": ["DEU"]},
    "operators": {"kind": "operators", "allowed": ["A"]},
    "nodes": {"kind": "nodes", "forbidden": ["n-1"]},
    "no_colocation": {"kind": "no_colocation", "authorised": ["Ally"], "exclusive": True},
    "independent_attestations": {"kind": "independent_attestations", "count": 2, "distinct": ["operator"]},
    "domain_beside_trigger": {"kind": "domain_beside_trigger", "domain": "Finance", "trigger": "evacuate"},
    "evidence": {"kind": "evidence", "classes": ["vendor"], "domain": "Disaster"},
    "maximum_bounds": {"kind": "maximum_bounds", "bounds": {"memory_bytes": 65536, "fuel": 1, "wall_ms": 1}},
    "validity": {"kind": "validity", "from_ms": 0, "until_ms": 1},
    "re_authorisation": {"kind": "re_authorisation", "roles": ["admin"], "threshold": 2, "timeout_ms": 1000},
    "notification": {"kind": "notification", "recipients": ["parent"]},
}


def read(*rules: Any, jurisdiction: str = "DEU") -> Policy:
    """Parse a file with these rules."""
    return parse_policy(json.dumps({"rules": rules}).encode(), jurisdiction)


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_a_rule_of_each_kind_reads(kind: str) -> None:
    (rule,) = read(GOOD[kind]).rules
    assert rule.kind == kind
    members = rule.model_dump(mode="json")
    assert {name: members[name] for name in GOOD[kind]} == GOOD[kind]


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_an_extra_member_and_a_wrong_type_in_any_member_are_refused_by_place(kind: str) -> None:
    with pytest.raises(MalformedError, match=rf"malformed at rules\.0\.{kind}\.more"):
        read({**GOOD[kind], "more": 1})
    for name in GOOD[kind]:
        for wrong in (1.5, {"a": 1}, [[1]]):
            with pytest.raises(MalformedError, match=r"policy is malformed at rules\.0"):
                read({**GOOD[kind], name: wrong})


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"kind": "sometimes"}, "rules.0"),
        ({}, "rules.0"),
        (GOOD["validity"] | {"from_ms": 5, "until_ms": 5}, "until_ms must be after from_ms"),
        (GOOD["validity"] | {"until_ms": MAX_INSTANT_MS + 1}, "until_ms"),
        (GOOD["validity"] | {"until_ms": "1"}, "until_ms"),
        (GOOD["validity"] | {"from_ms": True}, "from_ms"),
        (GOOD["validity"] | {"from_ms": -1}, "from_ms"),
        ({"kind": "no_colocation", "exclusive": True}, "exclusive needs authorised"),
        (GOOD["no_colocation"] | {"exclusive": 1}, "exclusive"),
        (GOOD["in_country"] | {"countries": ["XXX"]}, "not an ISO 3166-1"),
        (GOOD["in_country"] | {"countries": ["EU"]}, "not an ISO 3166-1"),
        (GOOD["in_country"] | {"countries": "DEU"}, "countries"),
        (GOOD["independent_attestations"] | {"count": 1}, "count"),
        (GOOD["independent_attestations"] | {"count": 17}, "count"),
        (GOOD["independent_attestations"] | {"distinct": ["country"]}, "distinct"),
        (GOOD["evidence"] | {"classes": []}, "classes"),
        (GOOD["evidence"] | {"classes": ["hardware"]}, "classes"),
        (GOOD["re_authorisation"] | {"roles": []}, "roles"),
        (GOOD["re_authorisation"] | {"threshold": 0}, "threshold"),
        (GOOD["re_authorisation"] | {"timeout_ms": 999}, "timeout_ms"),
        (GOOD["maximum_bounds"] | {"bounds": {"memory_bytes": 1, "fuel": 1, "wall_ms": 1}}, "memory_bytes"),
        (GOOD["domain_beside_trigger"] | {"domain": "a b"}, "domain"),
        (GOOD["domain_beside_trigger"] | {"trigger": "x\n"}, "trigger"),
        (GOOD["operators"] | {"allowed": ["A"] * 65}, "allowed"),
        (GOOD["notification"] | {"recipients": []}, "recipients"),
    ],
)
def test_a_contradictory_or_malformed_rule_is_refused_and_named(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(MalformedError, match=says):
        read(rule)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"{", b"{}x", b"\xff\xfe", b'{"rules":{}}', b'{"rules":[],"more":1}', b'{"rules":[null]}',
        b'{"rules":[[]]}', b'{"rules":["in_country"]}', b"[" * 5000, b'{"rules":' * 1500, b'{"rules":[{"kind":1}]}',
        b'{"rules":[{"kind":"nodes","allowed":["\\ud800"]}]}', b'{"rules":NaN}', '{"rules":[]}'.encode("utf-16"),
    ],
)  # fmt: skip
def test_another_shape_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match="policy is malformed at"):
        parse_policy(data, "DEU")


def test_a_policy_has_at_most_96_rules_and_16_kib() -> None:
    assert len(read(*[GOOD["nodes"]] * MAX_TENANT_RULES).rules) == MAX_TENANT_RULES == 96
    with pytest.raises(MalformedError, match="at most 96 rules"):
        read(*[GOOD["nodes"]] * 97)
    with pytest.raises(MalformedError, match="malformed at rules"):
        read(*[GOOD["nodes"]] * 129)
    with pytest.raises(MalformedError, match="is larger than 16384"):
        parse_policy(b" " * (MAX_POLICY_BYTES + 1), "DEU")


@pytest.mark.parametrize("scope", ["WFP", "ICAO", "UNDRR", "WHO", "INTL"])
def test_a_scope_without_members_must_name_countries(scope: str) -> None:
    with pytest.raises(MalformedError, match=f"must name countries for the supranational scope {scope}"):
        read({"kind": "in_country"}, jurisdiction=scope)
    assert read(GOOD["in_country"], jurisdiction=scope).rules
    assert read({"kind": "in_country"}, jurisdiction="EU").rules == (InCountry(kind="in_country"),)
    assert read(GOOD["nodes"], jurisdiction=scope).rules


@given(strategies.model(Policy))
def test_a_policy_reads_back_as_it_prints_and_its_digest_covers_every_byte(policy: Policy) -> None:
    printed = canonical(policy.model_dump(mode="json"))
    if len(printed) <= MAX_POLICY_BYTES:
        again = parse_policy(printed, "DEU")
        assert again == policy
        assert again.digest() == policy.digest() == sha256_hex(printed)


@given(st.one_of(st.binary(max_size=80), strategies.json_values.map(lambda value: json.dumps(value).encode())))
def test_foreign_bytes_raise_nothing_but_malformed(data: bytes) -> None:
    try:
        policy = parse_policy(data, "DEU")
    except MalformedError:
        return
    assert policy == Policy()


mutations = st.sampled_from(
    [None, 1, -1, 2**60, 1.5, "", "x y", "ﬁn", True, [], [None], {}, {"kind": "nodes"}, ["a"] * 70]
)


@given(rule=st.sampled_from(sorted(GOOD)), data=st.data())
def test_a_rule_with_foreign_members_reads_or_is_malformed(rule: str, data: st.DataObject) -> None:
    members = dict(GOOD[rule])
    for name in data.draw(st.lists(st.sampled_from([*members, "extra", "kind"]), min_size=1, max_size=3)):
        members[name] = data.draw(mutations)
    try:
        policy = read(members)
    except MalformedError:
        return
    assert len(policy.digest()) == 64


def test_re_authorisation_is_by_one_admin_within_a_day_unless_the_policy_says_otherwise() -> None:
    assert Policy().re_authorisation() == ReAuthorisation(kind="re_authorisation")
    default = Policy().re_authorisation()
    assert (default.roles, default.threshold, default.timeout_ms) == (("admin",), 1, 86_400_000)
    assert read(GOOD["nodes"], GOOD["re_authorisation"]).re_authorisation().threshold == 2


def test_of_several_re_authorisation_rules_the_stricter_of_each_member_wins() -> None:
    def rule(*roles: str, threshold: int = 1, timeout_ms: int = 9000) -> ReAuthorisation:
        return ReAuthorisation(kind="re_authorisation", roles=roles, threshold=threshold, timeout_ms=timeout_ms)

    merged = Policy(rules=(rule("admin", "officer"), rule("officer", "x", threshold=3, timeout_ms=2000)))
    assert merged.re_authorisation() == rule("officer", threshold=3, timeout_ms=2000)
    assert Policy(rules=(rule("admin"), rule("officer"))).re_authorisation().roles == ()
