"""After a fault nothing runs again until the people whom the policy names say so, for that very fault."""

from dataclasses import replace
from typing import Any

import pytest

from domain.bounds import Bounds
from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.executions.decisions import authorize_retry, refusal_claims, refuse_retry, retry_claims
from domain.executions.events import RetryAuthorized, RetryRefused, RuntimeReset
from domain.executions.state import Execution, evolve
from domain.message import Recorded
from domain.policies.kinds import Policy, ReAuthorisation
from domain.tenants.state import Tenant
from domain.workloads.events import WorkloadQueued
from tests.domain import samples
from tests.domain.people import principal, signed, tenant
from tests.domain.samples import BOUNDS, EXECUTION, NOW, fault, hexed, queued, recorded, reserved

RESET = RuntimeReset(execution_id=EXECUTION, report="r")
TIMEOUT = 10_000
LOWER = Bounds(memory_bytes=65_536, fuel=1, wall_ms=1)
OFFICERS = ReAuthorisation(kind="re_authorisation", roles=("officer",), threshold=2, timeout_ms=TIMEOUT)


def governed(**changes: Any) -> Tenant:
    found = tenant("ada")
    people = [principal(name, role="officer") for name in ("olga", "otto", "oslo")]
    return replace(found, principals={**found.principals, **{p.kid: p for p in people}}, policy_version=3, **changes)


def execution(*events: Any) -> Execution:
    found = evolve(reserved(), None)
    for event in events or (fault(), RESET):
        found = evolve(event, found)
    return found


FAULT = recorded(fault(), leaf=14)


def authorize(
    *names: str,
    of: Execution | None = None,
    at: Recorded = FAULT,
    by: Tenant | None = None,
    policy: Policy | None = None,
    bounds: Bounds = BOUNDS,
    not_after_ms: int = NOW + TIMEOUT,
    operator: str = "nobody",
    claims: dict[str, Any] | None = None,
    waiting: WorkloadQueued | None = None,
) -> tuple[RetryAuthorized, WorkloadQueued]:
    found, rules = by or governed(), policy or Policy(rules=(OFFICERS,))
    again = waiting or queued()
    said = claims or retry_claims(found, at, again, policy=rules, bounds=bounds, not_after_ms=not_after_ms)
    return authorize_retry(
        found,
        of or execution(),
        at,
        again,
        policy=rules,
        bounds=bounds,
        maximum=BOUNDS,
        not_after_ms=not_after_ms,
        node_operator=operator,
        signatures=[signed(name, said) for name in names],
        now_ms=NOW,
    )


def test_the_people_named_queue_the_workload_again_in_the_next_attempt() -> None:
    authorized, again = authorize("olga", "otto", bounds=LOWER)
    assert (authorized.fault_entry, authorized.fault_leaf_index) == (FAULT.leaf_hash.hex(), 14)
    assert (authorized.next_attempt, authorized.bounds, authorized.policy_version) == (2, LOWER, 3)
    assert authorized.policy_digest == Policy(rules=(OFFICERS,)).digest()
    assert authorized.statements == ("token.of.olga", "token.of.otto")
    assert (again.attempt, again.facts.bounds, again.not_after_ms) == (2, LOWER, NOW + TIMEOUT)
    assert again == queued(attempt=2, facts=samples.facts(bounds=LOWER), not_after_ms=NOW + TIMEOUT)


def test_without_a_rule_one_admin_may_within_a_day() -> None:
    assert authorize("ada", policy=Policy(), not_after_ms=NOW + 86_400_000)[1].attempt == 2
    with pytest.raises(RefusedError, match="within 86400000 ms"):
        authorize("ada", policy=Policy(), not_after_ms=NOW + 86_400_001)


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        ((), {}, "no signature"),
        (("olga",), {}, "1 of 2"),
        (("olga", "olga"), {}, "signed twice"),
        (("olga", "ada"), {}, "role admin may not decide this"),
        (("olga", "sam"), {}, "not enrolled"),
        (("olga", "otto"), {"operator": "otto"}, "operator of the node"),
    ],
)
def test_roles_threshold_and_the_faulting_nodes_operator_are_minded(
    names: tuple[str, ...], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(NotAuthorisedError, match=says):
        authorize(*names, **options)


def test_one_decision_per_fault() -> None:
    decided = execution(fault(), RESET, samples.authorized())
    with pytest.raises(ConflictError, match="decided already"):
        authorize("olga", "otto", of=decided)
    refused = execution(fault(), RESET, samples.SAMPLES_BY_TOPIC["execution.retry_refused.v1"])
    with pytest.raises(ConflictError, match="decided already"):
        authorize("olga", "otto", of=refused)


@pytest.mark.parametrize("events", [(fault(),), (samples.completed(), RESET), (samples.challenged(),)])
def test_never_before_the_fault_and_the_reset(events: tuple[Any, ...]) -> None:
    with pytest.raises(RefusedError, match="has not faulted and been reset"):
        authorize("olga", "otto", of=execution(*events))


@pytest.mark.parametrize("not_after_ms", [NOW - 1, NOW, NOW + TIMEOUT + 1])
def test_the_expiry_lies_within_the_policys_timeout(not_after_ms: int) -> None:
    with pytest.raises(RefusedError, match="within 10000 ms"):
        authorize("olga", "otto", not_after_ms=not_after_ms)


@pytest.mark.parametrize("member", ["memory_bytes", "fuel", "wall_ms"])
def test_bounds_stay_within_the_clauses_maximum(member: str) -> None:
    more = BOUNDS.model_copy(update={member: getattr(BOUNDS, member) + 1})
    with pytest.raises(RefusedError, match="exceed the clause's maximum"):
        authorize("olga", "otto", bounds=more)


def test_a_signature_is_for_this_very_fault_policy_module_bounds_and_attempt() -> None:
    good = retry_claims(
        governed(), FAULT, queued(), policy=Policy(rules=(OFFICERS,)), bounds=BOUNDS, not_after_ms=NOW + TIMEOUT
    )
    assert set(good) == {
        "act", "origin", "workload", "execution", "fault_leaf_index", "fault_entry", "policy_version", "policy_digest",
        "module_digest", "bounds", "next_attempt", "decision", "not_after_ms",
    }  # fmt: skip
    assert authorize("olga", "otto", claims=good)
    for name in good:
        with pytest.raises(NotAuthorisedError, match=f"'{name}'"):
            authorize("olga", "otto", claims={**good, name: hexed(99)})


def test_a_policy_change_voids_what_is_open() -> None:
    before = retry_claims(
        governed(), FAULT, queued(), policy=Policy(rules=(OFFICERS,)), bounds=BOUNDS, not_after_ms=NOW + TIMEOUT
    )
    with pytest.raises(NotAuthorisedError, match="policy_version"):
        authorize("olga", "otto", by=replace(governed(), policy_version=4), claims=before)


def test_the_fault_is_one_of_this_execution() -> None:
    elsewhere = recorded(fault(execution_id="exec-0x" + "0" * 32), leaf=14)
    with pytest.raises(NotAuthorisedError, match="another execution"):
        authorize("olga", "otto", at=elsewhere)
    with pytest.raises(RefusedError, match="only a fault"):
        authorize("olga", "otto", at=recorded(RESET))


def test_of_tenant_and_clause_the_stricter_rule_decides_who_may() -> None:
    lax = ReAuthorisation(kind="re_authorisation", roles=("admin", "officer"))
    with pytest.raises(NotAuthorisedError, match="role admin may not"):
        authorize("ada", policy=Policy(rules=(lax, OFFICERS)))
    assert authorize("olga", "otto", policy=Policy(rules=(lax, OFFICERS)))
    nobody = Policy(rules=(ReAuthorisation(kind="re_authorisation", roles=("admin",)), OFFICERS))
    for name in ("ada", "olga"):
        with pytest.raises(NotAuthorisedError, match="may not decide this"):
            authorize(name, policy=nobody)


def test_a_fault_of_an_attempt_that_the_workload_has_gone_on_from_is_not_decided_any_more() -> None:
    with pytest.raises(ConflictError, match="gone on to attempt 2"):
        authorize("olga", "otto", waiting=queued(attempt=2))


def refuse(*names: str, of: Execution | None = None, operator: str = "nobody", **changes: Any) -> RetryRefused:
    claims = {**refusal_claims(governed(), samples.EXECUTION, FAULT, samples.WORKLOAD), **changes}
    return refuse_retry(
        governed(),
        of or execution(),
        FAULT,
        samples.WORKLOAD,
        policy=Policy(rules=(OFFICERS,)),
        node_operator=operator,
        signatures=[signed(name, claims) for name in names],
    )


def test_the_same_people_may_let_it_stay_held_once() -> None:
    event = refuse("olga", "otto")
    assert (event.workload_id, event.fault_entry) == (samples.WORKLOAD, FAULT.leaf_hash.hex())
    assert event.statements == ("token.of.olga", "token.of.otto")
    with pytest.raises(ConflictError, match="decided already"):
        refuse("olga", "otto", of=evolve(event, execution()))
    with pytest.raises(RefusedError, match="has not faulted"):
        refuse("olga", "otto", of=execution(samples.completed(), RESET))


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        (("olga",), {}, "1 of 2"),
        (("ada", "olga"), {}, "role admin"),
        (("olga", "otto"), {"operator": "olga"}, "operator of the node"),
        (("olga", "otto"), {"fault_entry": hexed(99)}, "'fault_entry'"),
        (("olga", "otto"), {"decision": "authorize"}, "'decision'"),
        (("olga", "otto"), {"act": "authorize_retry"}, "'act'"),
    ],
)
def test_a_refusal_takes_the_same_roles_threshold_and_fault(
    names: tuple[str, ...], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(NotAuthorisedError, match=says):
        refuse(*names, **options)
