"""What the operator, with all of its own keys, can't write into a tenant's history unnoticed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.bounds import Bounds
from domain.cacs.events import CacIssued, CacRejected, QuorumReached
from domain.executions.decisions import retry_claims
from domain.executions.events import ExecutionAbandoned, ExecutionFaulted, ExecutionReserved, RetryAuthorized
from domain.identifiers import execution_id, stream_of
from domain.message import Event, Recorded
from domain.policies.effective import effective_policy
from domain.tenants.events import PolicyAdopted, PrincipalEnrolled
from domain.workloads.events import WorkloadPlaced, WorkloadQueued, WorkloadSubmitted
from infrastructure.keys.wallet import Wallet
from tests.audit.past import Past, refused
from tests.commands.cell import BOUNDS

OTHER_CAC = "cac-0x018bcfe5680073dc8f1408ffbd65309b"
SMALL = Bounds(memory_bytes=65_536, fuel=1, wall_ms=1)

Forged = list[tuple[UUID, Event]]


def test_the_past_itself_verifies_with_everything_that_can_be_in_it(past: Past, tmp_path: Path) -> None:
    verdict = past.verdict(tmp_path / "all")
    assert (verdict.ok, verdict.first_error) == (True, None)
    topics = {item.event.TOPIC for item in past.history}
    assert len(topics) >= 27, sorted(topics)
    assert any(text.startswith("6 CACs: every member") for text in verdict.checked), verdict.checked
    assert not any("disclosed" in text for text in verdict.not_checked)


# Retries


def held(early: Past, run: str = "held") -> tuple[Recorded, WorkloadQueued]:
    """Return a fault and what was queued before it."""
    fault = early.of("execution.faulted.v1", execution_id=early.runs[run])
    reserved = early.of("execution.reserved.v1", execution_id=early.runs[run]).event
    assert isinstance(reserved, ExecutionReserved)
    queued = early.of("workload.queued.v1", workload_id=reserved.workload_id, attempt=1).event
    assert isinstance(queued, WorkloadQueued)
    return fault, queued


def retried(
    early: Past,
    *signatories: Wallet,
    run: str = "held",
    bounds: Bounds = BOUNDS,
    after_ms: int = 1_000_000,
    tokens: tuple[str, ...] | None = None,
    **changed: Any,
) -> Forged:
    """Return an authorisation as these people sign it, and the queueing that follows from it."""
    fault, queued = held(early, run)
    assert isinstance(fault.event, ExecutionFaulted)
    policy = effective_policy(early.tenant.policy, queued.clause_rules)
    not_after = early.at_ms + after_ms
    claims = retry_claims(early.tenant, fault, queued, policy=policy, bounds=bounds, not_after_ms=not_after) | changed
    event = RetryAuthorized(
        execution_id=claims["execution"],
        workload_id=claims["workload"],
        fault_entry=claims["fault_entry"],
        fault_leaf_index=claims["fault_leaf_index"],
        next_attempt=claims["next_attempt"],
        bounds=bounds,
        not_after_ms=not_after,
        policy_version=claims["policy_version"],
        policy_digest=claims["policy_digest"],
        statements=early.govern(claims, *signatories) if tokens is None else tokens,
    )
    return [(fault.stream_id, event), *again(queued, bounds, not_after)]


def again(queued: WorkloadQueued, bounds: Bounds, not_after_ms: int, attempt: int = 2) -> Forged:
    """Return the queueing of a further attempt."""
    facts = queued.facts.model_copy(update={"bounds": bounds})
    event = queued.model_copy(update={"attempt": attempt, "facts": facts, "not_after_ms": not_after_ms})
    return [(stream_of(queued.workload_id), event)]


def two(early: Past) -> list[Wallet]:
    """Return two of three admins."""
    return early.admins[:2]


def test_a_retry_that_enough_persons_signed_verifies(early: Past, tmp_path: Path) -> None:
    assert early.verdict(tmp_path / "two", early.then(*retried(early, *two(early)))).ok
    assert early.verdict(tmp_path / "three", early.then(*retried(early, *early.admins, bounds=SMALL))).ok


def _two_payloads(early: Past) -> tuple[str, ...]:
    fault, queued = held(early)
    policy = effective_policy(early.tenant.policy, queued.clause_rules)
    claims = retry_claims(
        early.tenant, fault, queued, policy=policy, bounds=BOUNDS, not_after_ms=early.at_ms + 1_000_000
    )
    return early.govern(claims, early.admins[0]) + early.govern(claims, early.admins[1])


RETRIES: list[tuple[Callable[[Past], Forged], str]] = [
    (lambda early: retried(early, early.admins[0]), "1 of 2 signatures needed"),
    (lambda early: retried(early, early.admins[0], early.admins[0]), "one person signed twice"),
    (retried, "no signature"),
    (lambda early: retried(early, early.admins[0], early.drivers["done"].wallet or early.admins[0]), "no key enrolled"),
    (lambda early: retried(early, tokens=_two_payloads(early)), "not over the same payload"),
    (lambda early: retried(early, *two(early), fault_leaf_index=3), "differs"),
    (lambda early: retried(early, *two(early), fault_entry="0" * 64), "differs"),
    (lambda early: retried(early, *two(early), module_digest="0" * 64), "differs"),
    (lambda early: retried(early, *two(early), decision="refuse"), "differs"),
    (lambda early: retried(early, *two(early), policy_version=0, policy_digest="0" * 64), "differs"),
    (lambda early: retried(early, *two(early), after_ms=3_600_001), "must expire within"),
    (lambda early: retried(early, *two(early), run="refused"), "decided already"),
    (lambda early: [*retried(early, *two(early)), *retried(early, *two(early))], "decided already"),
    (lambda early: retried(early, *two(early))[1:], "without authorisation"),
    (lambda early: [retried(early, *two(early))[0], *again(held(early)[1], SMALL, early.at_ms)], "not the one"),
    (lambda early: again(held(early)[1], BOUNDS, early.at_ms, 3), "next attempt"),
]  # fmt: skip


@pytest.mark.parametrize(("forge", "says"), RETRIES, ids=[f"{at} {says}" for at, (_, says) in enumerate(RETRIES)])
def test_a_retry_that_governance_did_not_let_go_on_is_found(
    early: Past, tmp_path: Path, forge: Callable[[Past], Forged], says: str
) -> None:
    refused(early.verdict(tmp_path / "forged", early.then(*forge(early))), says)


def test_what_was_signed_under_an_earlier_policy_or_of_a_fault_that_was_let_go_on_is_found(
    past: Past, tmp_path: Path
) -> None:
    policy = past.of("tenant.policy_adopted.v1").event
    assert isinstance(policy, PolicyAdopted)
    old: dict[str, Any] = {"policy_version": 1, "policy_digest": policy.digest}
    refused(past.verdict(tmp_path / "old", past.then(*retried(past, *two(past), **old))), "differs")
    refused(past.verdict(tmp_path / "again", past.then(*retried(past, *two(past), run="again"))), "decided already")


def test_a_second_run_after_a_fault_is_found_however_it_is_written(early: Past, tmp_path: Path) -> None:
    _, queued = held(early)
    placed = early.of("workload.placed.v1", workload_id=queued.workload_id).event
    reserved = early.of("execution.reserved.v1", execution_id=early.runs["held"]).event
    assert isinstance(placed, WorkloadPlaced)
    assert isinstance(reserved, ExecutionReserved)
    other = execution_id(early.tenant.origin, queued.workload_id, 2, 0)
    place = placed.places[0].model_copy(update={"execution_id": other, "cac_id": OTHER_CAC})
    second = placed.model_copy(update={"attempt": 2, "places": (place,)})
    stream = stream_of(queued.workload_id)
    refused(early.verdict(tmp_path / "placed", early.then((stream, second))), "does not wait")
    refused(early.verdict(tmp_path / "twice", early.then((stream, placed))), "does not wait")
    moved = reserved.model_copy(update={"execution_id": other, "attempt": 2})
    refused(early.verdict(tmp_path / "reserved", early.then((stream_of(other), moved))), "nothing was placed")


# Results


def issued(early: Past, run: str = "done") -> tuple[Recorded, dict[str, Any]]:
    """Return a CAC's entry and its document without proof."""
    found = early.of("cac.issued.v1", execution_id=early.runs[run])
    assert isinstance(found.event, CacIssued)
    return found, {name: value for name, value in found.event.document.items() if name != "proof"}


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"outcome": "TRIGGER"}, "outcome"), ({"outcome": None}, "outcome"), ({"outputs": []}, "outputs"),
    ({"outputs": [{"commitment": "0" * 64, "size_bytes": 2}]}, "outputs"),
    ({"clause_id": "X::Y::Z@9.9.9"}, "clause_id"), ({"tenant_info": {"dao": "VictimDAO"}}, "tenant_info"),
    ({"node": "beta9"}, "node"), ({"limits": {}}, "limits"), ({"extra": 1}, "extra"),
    ({"submission_digest": "0" * 64}, "submission_digest"), ({"evidence_entry": "0" * 64}, "evidence_entry"),
    ({"release_entry": "0" * 64}, "release_entry"), ({"report_data": "0" * 128}, "report_data"),
    ({"policy": {"version": 1, "digest": "0" * 64}}, "policy"), ({"window": {"from_ms": 0, "until_ms": 1}}, "window"),
    ({"certificate": "a.b.c"}, "certificate"), ({"workload": "wl-0x" + "0" * 32}, "workload"),
    ({"version": True}, "version"), ({"hardware": "real"}, "hardware"), ({"output_address": "x"}, "output_address"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), CHANGES, ids=[f"{at} {says}" for at, (_, says) in enumerate(CHANGES)])
def test_a_cac_that_says_something_else_than_the_entries_is_found_though_its_own_enclave_signed_it(
    early: Past, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    entry, document = issued(early)
    forged = early.drivers["done"].signed({**document, **change})
    refused(early.verdict(tmp_path / "forged", early.altered(entry, document=forged)), says, entry=entry.leaf_index)


@pytest.mark.parametrize("missing", ["certificate", "outcome", "outputs", "proof", "cac_key", "tenant_info"])
def test_a_cac_that_lacks_a_member_is_refused_and_no_fault_of_ours(early: Past, tmp_path: Path, missing: str) -> None:
    entry, document = issued(early)
    lacking = {name: value for name, value in document.items() if name != missing}
    forged = lacking if missing == "proof" else early.drivers["done"].signed(lacking)
    refused(early.verdict(tmp_path / "forged", early.altered(entry, document=forged)), entry=entry.leaf_index)


def test_a_cac_signed_by_another_key_than_the_enclaves_is_found(early: Past, tmp_path: Path) -> None:
    entry, document = issued(early)
    driver = early.drivers["done"]
    others: list[dict[str, Any]] = [
        {"key": early.drivers["held"].cac_key}, {"domain": "x"}, {"challenge": "0" * 64},
    ]  # fmt: skip
    for at, options in enumerate(others):
        forged = driver.signed(document, **options)
        verdict = early.verdict(tmp_path / f"{at}", early.altered(entry, document=forged))
        refused(verdict, "the proof", entry=entry.leaf_index)


def test_one_execution_has_one_cac(early: Past, tmp_path: Path) -> None:
    entry, document = issued(early)
    event = entry.event
    assert isinstance(event, CacIssued)
    stream = stream_of(OTHER_CAC)
    signed = early.drivers["done"].signed(
        {**document, "cac_id": OTHER_CAC, "outcome": "TRIGGER", "clause_id": "X::Y::Z@9.9.9"}
    )
    other = event.model_copy(update={"cac_id": OTHER_CAC, "document": signed})
    refused(early.verdict(tmp_path / "other", early.then((stream, other))), "at most one CAC")
    refused(early.verdict(tmp_path / "same", early.then((entry.stream_id, event))), "at most one CAC")
    elsewhere = early.verdict(tmp_path / "elsewhere", early.then((stream, event)))
    refused(elsewhere, "another stream")
    rejected = CacRejected(
        cac_id=OTHER_CAC, execution_id=event.execution_id, workload_id=event.workload_id, rule="draft", reason="x",
        policy_version=event.policy_version, policy_digest=event.policy_digest,
    )  # fmt: skip
    refused(early.verdict(tmp_path / "rejected", early.then((stream, rejected))), "at most one CAC")


def test_a_cac_of_an_execution_that_faulted_or_never_was_is_found(early: Past, tmp_path: Path) -> None:
    entry, _ = issued(early)
    for name, execution in (("faulted", early.runs["held"]), ("never", "exec-0x" + "0" * 32)):
        event = entry.event.model_copy(update={"cac_id": OTHER_CAC, "execution_id": execution})
        refused(early.verdict(tmp_path / name, early.then((stream_of(OTHER_CAC), event))))


@pytest.mark.parametrize("change", [{"outcome": "FAIL"}, {"output_commitment": "0" * 64}, {"cacs": [OTHER_CAC] * 2}])
def test_a_quorum_that_its_cacs_do_not_give_is_found(past: Past, tmp_path: Path, change: dict[str, Any]) -> None:
    entry = past.of("cac.quorum_reached.v1")
    refused(past.verdict(tmp_path / "forged", past.altered(entry, **change)), entry=entry.leaf_index)


def test_a_quorum_without_enclaves_of_its_own_is_found(past: Past, tmp_path: Path) -> None:
    found = past.of("cac.quorum_reached.v1").event
    assert isinstance(found, QuorumReached)
    _, queued = held(past)
    event = found.model_copy(update={"workload_id": queued.workload_id})
    refused(past.verdict(tmp_path / "forged", past.then((stream_of(queued.workload_id), event))), "quorum")


# Submissions


def submitted(early: Past) -> Recorded:
    """Return the first submission."""
    return early.of("workload.submitted.v1")


SUBMISSIONS: list[dict[str, Any]] = [
    {"forbid_tags": ["x"]}, {"trigger": "payout"}, {"resource_class": "Finance::Other@v1"}, {"tags": ["x"]},
    {"bounds": SMALL.model_dump()}, {"not_after_ms": 1_800_000_000_000}, {"submission_digest": "0" * 64},
    {"tenant": {"dao": "VictimDAO", "jurisdiction": "KEN", "clause_id": "UNDRR::Disaster::Flood@1.0.0"}},
    {"tenant": {"dao": "FloodDAO", "jurisdiction": "DEU", "clause_id": "UNDRR::Disaster::Trap@1.0.0"}},
]  # fmt: skip


@pytest.mark.parametrize("change", SUBMISSIONS, ids=lambda change: next(iter(change)))
def test_a_submission_that_its_event_tells_otherwise_is_found(
    early: Past, tmp_path: Path, change: dict[str, Any]
) -> None:
    entry = submitted(early)
    verdict = early.verdict(tmp_path / "forged", early.altered(entry, **change))
    refused(verdict, "not what its statement says", entry=entry.leaf_index)


def test_an_input_that_its_event_tells_otherwise_is_found(early: Past, tmp_path: Path) -> None:
    entry = submitted(early)
    inputs = entry.event.payload()["inputs"]
    others: list[dict[str, Any]] = [
        {"commitment": "0" * 64}, {"size_bytes": 1}, {"ciphertext_digest": "0" * 64},
    ]  # fmt: skip
    for number, change in enumerate(others):
        altered = early.altered(entry, inputs=[{**inputs[0], **change}, *inputs[1:]])
        refused(early.verdict(tmp_path / f"{number}", altered), entry=entry.leaf_index)
    refused(early.verdict(tmp_path / "fewer", early.altered(entry, inputs=inputs[1:])), entry=entry.leaf_index)
    swapped = {**inputs[0], "payload": {**inputs[0]["payload"], "plaintext_digest": "0" * 64}}
    refused(early.verdict(tmp_path / "other", early.altered(entry, inputs=[swapped, *inputs[1:]])), "another digest")


def test_a_submission_that_is_replayed_is_found(early: Past, tmp_path: Path) -> None:
    event = submitted(early).event
    assert isinstance(event, WorkloadSubmitted)
    refused(early.verdict(tmp_path / "other", early.then((uuid4(), event))), "another stream")
    refused(early.verdict(tmp_path / "same", early.then((stream_of(event.workload_id), event))), "once")
    other = uuid4()
    renamed = event.model_copy(update={"workload_id": f"wl-0x{other.hex}"})
    refused(early.verdict(tmp_path / "renamed", early.then((other, renamed))), "was used in entry")


def test_a_governance_act_that_is_replayed_is_found(past: Past, tmp_path: Path) -> None:
    """The helper's enrolment again, after its key was withdrawn; and a policy of before."""
    own = past.streams()[0]
    enrolled = [item.event for item in past.history if isinstance(item.event, PrincipalEnrolled)]
    refused(past.verdict(tmp_path / "enrolled", past.then((own, enrolled[-1]))), "was used in entry")
    policy = past.of("tenant.policy_adopted.v1").event
    refused(past.verdict(tmp_path / "policy", past.then((own, policy))), "was used in entry")


def test_what_was_queued_follows_from_what_was_submitted(early: Past, tmp_path: Path) -> None:
    entry = early.of("workload.queued.v1")
    facts = entry.event.payload()["facts"]
    changes: list[dict[str, Any]] = [
        {"facts": {**facts, "dao": "VictimDAO"}}, {"facts": {**facts, "forbid_tags": ["x"]}}, {"draft": True},
        {"module_digest": "0" * 64}, {"not_after_ms": 1}, {"clause_id": "UNDRR::Disaster::Trap@1.0.0"},
    ]  # fmt: skip
    for number, change in enumerate(changes):
        verdict = early.verdict(tmp_path / f"{number}", early.altered(entry, **change))
        refused(verdict, "not what was submitted", entry=entry.leaf_index)
    for topic in ("workload.credential_checked.v1", "workload.clause_verified.v1"):
        verdict = early.verdict(tmp_path / topic, early.altered(early.of(topic), passed=False))
        refused(verdict, "did not pass", entry=entry.leaf_index)


# Executions

EXECUTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("execution.reserved.v1", {"node": "omega"}, "not what was queued and placed"),
    ("execution.reserved.v1", {"limits": SMALL.model_dump()}, "not what was queued and placed"),
    ("execution.reserved.v1", {"k": 1}, "execution id"), ("execution.reserved.v1", {"policy_version": 0}, "policy"),
    ("execution.reserved.v1", {"policy_digest": "0" * 64}, "policy"),
    ("workload.placed.v1", {"policy_digest": "0" * 64}, "policy"), ("workload.placed.v1", {"attempt": 2}, "not wait"),
    ("execution.challenged.v1", {"node": "omega"}, "challenge"), ("execution.challenged.v1", {"nonce": "0" * 64}, ""),
    ("execution.evidence_appraised.v1", {"cac_key": "0" * 64}, "not what it says"),
    ("execution.evidence_appraised.v1", {"measurement": "0" * 64}, "not what it says"),
    ("execution.evidence_appraised.v1", {"platform_id": "software:x"}, "not what it says"),
    ("execution.evidence_appraised.v1", {"certificate": None}, "certificate"),
    ("execution.evidence_appraised.v1", {"status": "contraindicated"}, "certificate"),
    ("execution.enclave_provisioned.v1", {"passed": False}, "gate"),
    ("execution.inputs_released.v1", {"hpke_key_digest": "0" * 64}, "another enclave"),
    ("execution.inputs_released.v1", {"commitments": []}, "other inputs"),
    ("execution.completed.v1", {"outcome": "FAIL"}, "not what its report says"),
    ("execution.completed.v1", {"fuel_bucket": 40}, "not what its report says"),
    ("execution.faulted.v1", {"kind": "deadline"}, "not what its report says"),
    ("execution.report_refused.v1", {"report": "x"}, "compact JWS"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("topic", "change", "says"), EXECUTIONS, ids=[f"{at} {topic}" for at, (topic, _, _) in enumerate(EXECUTIONS)]
)
def test_an_execution_that_is_told_otherwise_is_found(
    early: Past, tmp_path: Path, topic: str, change: dict[str, Any], says: str
) -> None:
    refused(early.verdict(tmp_path / "forged", early.altered(early.of(topic), **change)), says)


def test_reports_that_were_left_out_or_given_to_another_execution_are_found(early: Past, tmp_path: Path) -> None:
    started = early.of("execution.enclave_started.v1", execution_id=early.runs["done"])
    other = early.of("execution.enclave_started.v1", execution_id=early.runs["held"])
    forged = early.altered(started, report=getattr(other.event, "report", ""))
    refused(early.verdict(tmp_path / "given", forged), "another execution", entry=started.leaf_index)
    refusing = early.of("execution.report_refused.v1")
    mine = early.altered(refusing, report=getattr(started.event, "report", ""))
    refused(early.verdict(tmp_path / "twice", mine), "was used in entry", entry=refusing.leaf_index)


def test_an_abandonment_after_the_inputs_were_released_is_found(early: Past, tmp_path: Path) -> None:
    started = early.of("execution.enclave_started.v1", execution_id=early.runs["done"])
    event = ExecutionAbandoned(execution_id=early.runs["done"], reason="evidence_refused")
    entries = list(early.entries)
    entries[started.leaf_index] = early.seal(
        started.stream_id, started.version, event.TOPIC, event.payload(), started.at_ms
    )
    refused(early.verdict(tmp_path / "forged", entries), "not abandoned", entry=started.leaf_index)


def test_an_event_that_stands_in_a_stream_of_something_else_is_found(early: Past, tmp_path: Path) -> None:
    own = early.streams()[0]
    for name, topic in (("w", "workload.queued.v1"), ("e", "execution.challenged.v1"), ("k", "cac.issued.v1")):
        refused(early.verdict(tmp_path / name, early.then((own, early.of(topic).event))), "another stream")
    disclosed = early.of("workload.credential_checked.v1").event
    refused(early.verdict(tmp_path / "own", early.then((own, disclosed))), "has no place")
    registered = early.history[0].event
    refused(early.verdict(tmp_path / "registered", early.then((own, registered))), "has no place")
    refused(early.verdict(tmp_path / "first", early.entries[1:]))
