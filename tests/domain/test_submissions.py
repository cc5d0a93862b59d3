"""Credential first, then the clause, then the queue: each check is an event, and the first that fails denies."""

from typing import Any

import pytest
from hypothesis import given

from domain.bounds import Bounds
from domain.clauses.decisions import Clause
from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError
from domain.hashing import sha256_hex
from domain.message import Event
from domain.payloads import StoredPayload
from domain.policies.effective import effective_policy
from domain.policies.kinds import InCountry, Operators, Policy
from domain.statements import GOVERNANCE, REPORT, SUBMISSION, Signed
from domain.tenants.state import Tenant, evolve
from domain.workloads.decisions import (
    MAX_WAIT_MS,
    CredentialVerdict,
    cancel_claims,
    cancel_workload,
    read_request,
    request_claims,
    submit_workload,
)
from domain.workloads.events import (
    ClauseVerified,
    CredentialChecked,
    WorkloadCancelled,
    WorkloadDenied,
    WorkloadQueued,
    WorkloadSubmitted,
)
from tests.domain import samples, strategies
from tests.domain.people import request, signed, submission, tenant
from tests.domain.samples import NOW, hexed, metadata

GOOD = CredentialVerdict(passed=True, reason="in force", digest=hexed(22), valid_until_ms=NOW + 1)
EXPIRED = CredentialVerdict(passed=False, reason="the credential expired", digest=None, valid_until_ms=None)
RULE = Operators(kind="operators", forbidden=("bad",))
CLAUSE = Clause(metadata(policies=(RULE,), required_attributes=("gpu",)), hexed(2), hexed(3), hexed(4), samples.ORIGIN)


def submit(
    said: Signed | None = None,
    *,
    by: Tenant | None = None,
    clause: Clause | None = CLAUSE,
    credential: CredentialVerdict = GOOD,
    stored: tuple[StoredPayload, ...] = (samples.payload(19),),
) -> tuple[Event, ...]:
    return submit_workload(
        by or tenant(), clause, said or submission(), credential, stored=stored, engine="e", seen=9, now_ms=NOW
    )


def kinds(events: tuple[Event, ...]) -> list[type[Event]]:
    return [type(event) for event in events]


def test_a_submission_that_passes_every_check_is_queued_with_all_that_the_scheduler_reads() -> None:
    said = submission(trigger="evacuate", tags=("river",), forbid_tags=("market",))
    events = submit(said)
    assert kinds(events) == [WorkloadSubmitted, CredentialChecked, ClauseVerified, WorkloadQueued]
    first, checked, verified, queued = events
    assert isinstance(first, WorkloadSubmitted)
    assert isinstance(checked, CredentialChecked)
    assert isinstance(verified, ClauseVerified)
    assert isinstance(queued, WorkloadQueued)
    assert (first.submission, first.submission_digest) == (said.token, sha256_hex(said.token.encode()))
    assert (first.tenant.dao, first.tenant.jurisdiction, first.tenant.clause_id) == (
        "ClimateDAO",
        "DEU",
        samples.CLAUSE,
    )
    assert first.inputs[0].payload == samples.payload(19)
    assert (checked.passed, checked.credential_digest) == (True, hexed(22))
    assert (verified.passed, verified.module_digest, verified.clause_entry) == (True, hexed(2), hexed(4))
    assert queued.attempt == 1
    assert queued.clause_rules == (RULE,)
    assert queued.facts == samples.facts(
        trigger="evacuate", tags=("river",), forbid_tags=("market",), required_attributes=("gpu",)
    )
    assert not queued.draft


def test_a_draft_clause_is_queued_as_a_draft() -> None:
    draft = samples.CLAUSE.replace("@1", "@0")
    clause = Clause(metadata(clause_id=draft), hexed(2), hexed(3), hexed(4), samples.ORIGIN)
    queued = submit(submission(clause_id=draft), clause=clause)[-1]
    assert isinstance(queued, WorkloadQueued)
    assert queued.draft


def test_a_credential_that_does_not_permit_it_denies_first() -> None:
    governed = evolve(samples.SAMPLES_BY_TOPIC["tenant.policy_adopted.v1"], tenant())
    events = submit(by=governed, credential=EXPIRED, clause=None)
    assert kinds(events) == [WorkloadSubmitted, CredentialChecked, WorkloadDenied]
    denial = events[-1]
    assert isinstance(denial, WorkloadDenied)
    assert (denial.gate, denial.rule, denial.reason) == ("credential", "credential", "the credential expired")
    assert (denial.engine, denial.policy_version, denial.seen, denial.tick) == ("e", 1, 9, NOW // 1000)
    assert denial.policy_digest == governed.policy.digest()
    checked = events[1]
    assert isinstance(checked, CredentialChecked)
    assert (checked.passed, checked.valid_until_ms) == (False, None)


def test_the_clause_denies_second_and_its_rules_enter_the_policy_digest() -> None:
    events = submit(submission(resource_class="Finance::Bond@v1"))
    assert kinds(events) == [WorkloadSubmitted, CredentialChecked, ClauseVerified, WorkloadDenied]
    verified, denial = events[2:]
    assert isinstance(verified, ClauseVerified)
    assert isinstance(denial, WorkloadDenied)
    assert not verified.passed
    assert verified.module_digest == hexed(2)
    assert (denial.gate, denial.rule) == ("clause", "clause")
    assert denial.reason == verified.reason == "the clause does not serve resource class Finance::Bond@v1"
    assert denial.policy_digest == effective_policy(Policy(), (RULE,)).digest()


def test_an_unregistered_clause_is_an_event_too() -> None:
    events = submit(clause=None)
    assert kinds(events) == [WorkloadSubmitted, CredentialChecked, ClauseVerified, WorkloadDenied]
    verified = events[2]
    assert isinstance(verified, ClauseVerified)
    assert (verified.passed, verified.reason, verified.module_digest) == (False, "the clause is not registered", None)


@pytest.mark.parametrize(
    "said",
    [
        submission("mallory"),
        submission("ada"),
        submission("ada", typ=GOVERNANCE),
        submission("sam", typ=REPORT),
        submission("sam", typ=GOVERNANCE),
    ],
)
def test_only_a_submission_by_a_key_enrolled_for_submissions_is_taken(said: Signed) -> None:
    with pytest.raises(NotAuthorisedError, match="not enrolled for submissions"):
        submit(said)


def test_a_tenant_that_is_not_endorsed_submits_nothing() -> None:
    with pytest.raises(RefusedError, match="not endorsed"):
        submit(by=tenant(endorsed=False))


@pytest.mark.parametrize("not_after_ms", [0, NOW - 1, NOW, NOW + MAX_WAIT_MS + 1])
def test_waiting_time_out_of_range_is_refused(not_after_ms: int) -> None:
    with pytest.raises(RefusedError, match="not_after_ms"):
        submit(submission(not_after_ms=not_after_ms))


@pytest.mark.parametrize("not_after_ms", [NOW + 1, NOW + MAX_WAIT_MS])
def test_waiting_time_at_the_ends_of_its_range_is_taken(not_after_ms: int) -> None:
    assert isinstance(submit(submission(not_after_ms=not_after_ms))[-1], WorkloadQueued)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"workload": samples.EXECUTION}, "begins with wl-0x"),
        ({"workload": "wl-0x12"}, "32 hex digits"),
        ({"workload": 1}, "workload"),
        ({"clause_id": "A::B::C@v1"}, "Namespace::Domain::Name"),
        ({"resource_class": "Flood"}, "Domain::Name@vN"),
        ({"bounds": {"memory_bytes": 1, "fuel": 1, "wall_ms": 1}}, r"bounds\.memory_bytes"),
        ({"bounds": None}, "bounds"),
        ({"trigger": "a b"}, "trigger"),
        ({"tags": "river"}, "tags"),
        ({"tags": ["x"] * 65}, "tags"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"commitment": "00", "size_bytes": 1, "ciphertext_digest": hexed(1)}]}, "inputs.0.commitment"),
        (
            {"inputs": [{"commitment": hexed(1), "size_bytes": -1, "ciphertext_digest": hexed(1)}]},
            r"inputs\.0\.size_bytes",
        ),
        ({"inputs": [{"commitment": hexed(1), "size_bytes": 1048577, "ciphertext_digest": hexed(1)}]}, "size_bytes"),
        ({"not_after_ms": "soon"}, "not_after_ms"),
        ({"not_after_ms": 1.5}, "float"),
        ({"not_after_ms": 2**53}, "2\\^53"),
        ({"more": 1}, "more"),
    ],
)
def test_a_malformed_submission_is_refused_and_the_place_named(changes: dict[str, Any], where: str) -> None:
    claims = {**request_claims(request()), **changes}
    with pytest.raises(MalformedError, match=where):
        submit(signed("sam", claims, typ=SUBMISSION))


@pytest.mark.parametrize("missing", sorted(set(request_claims(request())) - {"trigger", "tags", "forbid_tags"}))
def test_a_submission_without_a_member_is_refused(missing: str) -> None:
    claims = {name: value for name, value in request_claims(request()).items() if name != missing}
    with pytest.raises(MalformedError, match=f"malformed at {missing}"):
        read_request(signed("sam", claims, typ=SUBMISSION))


@given(strategies.json_values)
def test_a_foreign_payload_raises_nothing_but_malformed(value: Any) -> None:
    claims = {**request_claims(request()), **(value if isinstance(value, dict) else {"bounds": value})}
    try:
        read_request(signed("sam", claims, typ=SUBMISSION))
    except MalformedError:
        return
    assert not set(value)


def test_a_request_reads_back_as_it_was_said() -> None:
    asked = request(trigger="evacuate", bounds=Bounds(memory_bytes=65_536, fuel=1, wall_ms=1))
    assert read_request(signed("sam", request_claims(asked), typ=SUBMISSION)) == asked


def test_the_policy_in_force_and_the_clauses_rules_are_named_together() -> None:
    assert effective_policy(Policy(rules=(InCountry(kind="in_country"),)), (RULE,)).rules[1] == RULE


def cancelled(said: Signed, *, waits: bool = True) -> WorkloadCancelled:
    return cancel_workload(tenant(), samples.WORKLOAD, waits=waits, signed=said)


def test_a_submitter_takes_a_waiting_workload_back() -> None:
    said = signed("sam", cancel_claims(samples.WORKLOAD), typ=SUBMISSION)
    assert cancelled(said) == WorkloadCancelled(workload_id=samples.WORKLOAD, statement=said.token)
    with pytest.raises(ConflictError, match="does not wait"):
        cancelled(said, waits=False)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (signed("mallory", cancel_claims(samples.WORKLOAD), typ=SUBMISSION), "not enrolled"),
        (signed("ada", cancel_claims(samples.WORKLOAD), typ=SUBMISSION), "not enrolled"),
        (signed("sam", cancel_claims(samples.WORKLOAD)), "not enrolled"),
        (signed("sam", cancel_claims("wl-0x" + "0" * 32), typ=SUBMISSION), "'workload'"),
        (submission(), "'act'"),
    ],
)
def test_others_and_other_statements_take_nothing_back(said: Signed, says: str) -> None:
    with pytest.raises(NotAuthorisedError, match=says):
        cancelled(said)
