"""Nothing of a CAC is believed: each single member is held against the ledger, and the same rules are asked again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cacs.document import bound_report_data, draft_document
from domain.cacs.gate import RUN_MEMBERS, rejection
from domain.errors import RefusedError
from domain.policies.facts import Resident
from domain.policies.feasible import feasible, told
from domain.policies.kinds import Evidence, InCountry, NoColocation, Operators, Policy, Rule, Validity
from tests.domain import samples, strategies
from tests.domain.results import document, expected, record
from tests.domain.samples import NOW, appraised, completed, facts, hexed, queued

ALONE = (expected().node,)
MEMBERS = sorted(document(record()))


def judged(said: dict[str, Any] | None = None, *rules: Rule, **changes: Any) -> tuple[str, str] | None:
    of = record(**changes)
    return rejection(
        document(of) if said is None else said,
        of,
        completed(),
        policy=Policy(rules=rules),
        residents=(),
        attempt=ALONE,
        at_ms=NOW,
    )


def other_than(value: Any) -> list[Any]:
    """Return values near a value that are not it."""
    near: list[Any] = [None, [], {}, "", [value], {"value": value}, 1.0]
    if isinstance(value, str):
        near += [f"{value} ", value.upper() if value.upper() != value else value.lower(), value[:-1]]
    if isinstance(value, int):
        near += [value + 1, -value, str(value), float(value), True]
    if isinstance(value, dict):
        near += [{**value, "more": 1}, dict(list(value.items())[1:])]
    if isinstance(value, list):
        near += [value[1:], [*value, *value]]
    return [each for each in near if repr(each) != repr(value)]


def test_a_document_that_the_ledger_would_have_drafted_passes() -> None:
    assert judged() is None


@pytest.mark.parametrize("name", sorted(set(MEMBERS) - {"proof"}))
def test_any_single_member_that_differs_rejects(name: str) -> None:
    good = document(record())
    for value in other_than(good[name]):
        rejected = judged({**good, name: value})
        assert rejected is not None, value
        assert rejected[0] == ("tenant_info" if name in {"tenant_info", "scope"} else "document")


@pytest.mark.parametrize("name", sorted(set(MEMBERS) - {"proof"}))
def test_any_single_member_that_is_missing_rejects(name: str) -> None:
    assert judged({key: value for key, value in document(record()).items() if key != name}) is not None


@pytest.mark.parametrize("outer", ["tenant_info", "policy", "limits", "window"])
def test_any_single_member_of_a_block_that_differs_rejects(outer: str) -> None:
    good = document(record())
    for inner, value in good[outer].items():
        for other in other_than(value):
            rejected = judged({**good, outer: {**good[outer], inner: other}})
            assert rejected is not None, (inner, other)
            assert "is not what the ledger recorded" in rejected[1]


def test_a_member_too_many_rejects_and_is_named() -> None:
    assert judged({**document(record()), "extra": 1}) == ("document", "member extra is not what the ledger recorded")


@given(name=st.sampled_from(sorted(set(MEMBERS) - RUN_MEMBERS)), value=strategies.json_values)
def test_no_other_value_of_any_member_passes(name: str, value: Any) -> None:
    good = document(record())
    if repr(value) != repr(good[name]):
        assert judged({**good, name: value}) is not None


def test_blocks_that_disagree_about_the_tenant_reject_by_that_name() -> None:
    good = document(record())
    for said in ({"tenant_info": {**good["tenant_info"], "dao": "OtherDAO"}}, {"scope": f"{samples.HOST}/t/8"}):
        rejected = judged({**good, **said})
        assert rejected is not None
        assert rejected[0] == "tenant_info"


def test_a_draft_clause_never_yields_a_cac() -> None:
    assert judged(queued=queued(draft=True)) == ("draft", "a draft clause (0.x) never yields a CAC")


@pytest.mark.parametrize(
    "changes",
    [
        {"report_data": hexed(5, 64)},
        {"cac_key": hexed(40)},
        {"hpke_key": hexed(41)},
        {"hpke_kem_id": 1},
    ],
)
def test_report_data_that_does_not_follow_from_the_ledgers_facts_rejects(changes: dict[str, Any]) -> None:
    affirmed = appraised(**{"report_data": bound_report_data(expected(), appraised()), **changes})
    assert judged(appraised=affirmed) == ("binding", "report_data does not follow from the document")


def test_outcome_and_outputs_are_those_that_the_node_reported() -> None:
    good = document(record())
    changes: list[dict[str, Any]] = [
        {"outcome": "PASS"},
        {"outputs": []},
        {"outputs": [{"commitment": hexed(12), "size_bytes": 22}]},
        {"outputs": [{"commitment": hexed(12), "size_bytes": 21.0}]},
        {"outputs": good["outputs"] * 2},
    ]
    for said in changes:
        assert judged({**good, **said}) == ("document", "outcome or outputs are not what the node reported")


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (InCountry(kind="in_country", countries=("FRA",)), "in_country"),
        (Operators(kind="operators", forbidden=("op-node-a",)), "operators"),
        (Evidence(kind="evidence", classes=("vendor",)), "evidence"),
        (Validity(kind="validity", from_ms=0, until_ms=5), "validity"),
    ],
)
def test_a_policy_now_in_force_rejects_by_its_rule(rule: Rule, name: str) -> None:
    rejected = judged(None, rule)
    assert rejected is not None
    assert rejected[0] == name
    assert rejected[1].startswith(f"{name}: have ")


def test_the_evidence_class_that_counts_is_the_appraised_one() -> None:
    vouched = record(expected=expected(node=samples.node(evidence_class="vendor")))
    policy = Policy(rules=(Evidence(kind="evidence", classes=("vendor",)),))
    rejected = rejection(document(vouched), vouched, completed(), policy=policy, residents=(), attempt=ALONE, at_ms=NOW)
    assert rejected is not None
    assert rejected[0] == "evidence"


def test_who_else_lives_there_rejects_without_being_told() -> None:
    of = record()
    stranger = Resident(execution_id="x", workload=facts(dao="SecretDAO"), policy=Policy())
    policy = Policy(rules=(NoColocation(kind="no_colocation", authorised=()),))
    rejected = rejection(document(of), of, completed(), policy=policy, residents=[stranger], attempt=ALONE, at_ms=NOW)
    assert rejected == ("no_node_now", "no_node_now: have no place, need a place")


@given(policy=strategies.model(Policy))
def test_the_gate_says_what_the_one_evaluation_says(policy: Policy) -> None:
    of = record()
    found = feasible(policy, of.queued.facts, of.expected.node, (), NOW, attempt=ALONE)
    failed = [told(finding) for finding in found if not finding.passed]
    rejected = rejection(document(of), of, completed(), policy=policy, residents=(), attempt=ALONE, at_ms=NOW)
    assert (rejected is None) is (failed == [])
    if rejected is not None:
        assert rejected[0] == failed[0][0]


def test_without_an_affirming_appraisal_there_is_no_document() -> None:
    with pytest.raises(RefusedError, match="no CAC"):
        draft_document(record(appraised=appraised(certificate=None)))


def test_the_document_names_the_execution_where_the_mission_has_the_workload_id() -> None:
    said = document(record())
    assert said["tenant_info"]["workload_id"] == said["execution_id"] == samples.EXECUTION
    assert said["workload"] == samples.WORKLOAD
    assert said["cac_id"] == samples.CAC
    assert said["output_address"] == f"{samples.ORIGIN}/cac/{samples.CAC}"
