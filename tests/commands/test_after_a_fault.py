"""Faults stay with their tenant; nothing runs again until those whom the policy names sign for that very fault."""

from pathlib import Path
from typing import Any

import pytest

from domain.cacs.events import CacIssued, QuorumFailed, QuorumReached
from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.executions.events import ExecutionFaulted, NoticeRequested, RetryAuthorized
from domain.identifiers import stream_of
from domain.message import Pending
from domain.scheduling.decide import MAX_FAILURES
from domain.statements import GOVERNANCE
from domain.time import HOUR_MS
from domain.workloads.events import WorkloadDenied, WorkloadPlaced, WorkloadQueued
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.client import acts
from infrastructure.client.signing import signed_by
from infrastructure.commands import retries, submissions
from infrastructure.commands.retries import RetryDraft, draft_retry
from infrastructure.explaining import explain
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements.payload import payload
from tests.commands.cell import BOUNDS, ENTROPY, FLOOD, THRESHOLD, Cell, MakeCell, Member
from tests.commands.driver import Driver
from tests.commands.test_submissions import built

TWO_PERSONS = {"kind": "re_authorisation", "roles": ["admin"], "threshold": 2}

FAULTS: list[tuple[str, str, str, tuple[bytes, ...], dict[str, int]]] = [
    ("trap", "Trap", "trap", (b"",), {}),
    ("fuel", "Flood", "flood", (), {"fuel": 100}),
    ("memory", "Memory", "memory_hog", (b"",), {}),
    ("deadline", "Deadline", "infinite_loop", (b"",), {"fuel": 10**9, "wall_ms": 50}),
    ("input_error", "Flood", "flood", (b"no observations", THRESHOLD), {}),
    ("simulation_failure", "Simulation", "simulation_failure", (b"",), {}),
    ("output_invalid", "Output", "output_text", (b"",), {}),
]


@pytest.mark.parametrize(("kind", "name", "module", "inputs", "bounds"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_a_fault_is_recorded_in_its_tenants_log_only(
    cell: Cell, kind: str, name: str, module: str, inputs: tuple[bytes, ...], bounds: dict[str, int]
) -> None:
    clause = FLOOD
    if name != "Flood":
        clause = f"UNDRR::Disaster::{name}@1.0.0"
        cell.register(clause, module)
    member = cell.join()
    with cell.only_written_to(member):
        asked = BOUNDS.model_copy(update=bounds)
        given = {"inputs": inputs} if inputs else {}
        (execution,) = cell.place(member, clause_id=clause, bounds=asked, **given)
        cell.run(execution)
        cell.settle()
    (faulted,) = cell.events(member, ExecutionFaulted)
    assert faulted.kind == kind
    assert cell.topics(member)[-3:] == ["execution.faulted.v1", "execution.runtime_reset.v1", "usage.metered.v1"]
    assert execution not in cell.decider.state.live
    assert not [w for w in cell.decider.state.waiting.values() if w.slot == member.tenant.slot]


def held(cell: Cell, *, rules: tuple[dict[str, Any], ...] = (), **joined: Any) -> tuple[Member, str]:
    """Return a tenant and its faulted execution."""
    member = cell.join(**joined)
    if rules:
        member.adopt(*rules)
    (execution,) = cell.place(member)
    Driver(cell, execution).fail()
    cell.settle()
    return member, execution


def signed(cell: Cell, member: Member, draft: RetryDraft, wallets: list[Wallet], **changes: Any) -> tuple[str, ...]:
    """Let wallets sign what a draft says."""
    content = payload(
        iss=member.tenant.did, aud=member.tenant.origin, claims={**draft.claims, **changes},
        now_ms=cell.clock.now_ms(), entropy=ENTROPY,
    )  # fmt: skip
    return signed_by(wallets, GOVERNANCE, content)


def drafted(cell: Cell, execution: str, **asked: Any) -> RetryDraft:
    """Return a draft."""
    return draft_retry(cell.ledger, execution, **{"bounds": None, "within_ms": None, **asked})


def test_a_held_workload_stays_held_until_one_admin_authorises_and_then_succeeds(cell: Cell) -> None:
    member, execution = held(cell)
    cell.advance(HOUR_MS)
    assert cell.topics(member)[-1] == "usage.metered.v1"
    more = BOUNDS.model_copy(update={"fuel": BOUNDS.fuel * 2})
    answer = acts.authorize_retry(cell.ledger, execution, member.admins, bounds=more)
    assert answer.answer["attempt"] == 2
    cell.settle()
    (again,) = cell.executions(member, str(answer.answer["workload"]))
    assert again != execution
    assert Driver(cell, again).assign().limits == more
    Driver(cell, again).whole()
    (issued,) = cell.events(member, CacIssued)
    assert issued.document["attempt"] == 2


def test_two_signatories_are_needed_where_the_policy_says_so(cell: Cell) -> None:
    member, execution = held(cell, admins=3, rules=(TWO_PERSONS,))
    one, other, _ = member.admins
    draft = drafted(cell, execution)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="1 of 2"):
        retries.authorize(cell.ledger, draft, signed(cell, member, draft, [one]))
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="twice"):
        retries.authorize(cell.ledger, draft, signed(cell, member, draft, [one, one]))
    apart = (*signed(cell, member, draft, [one]), *signed(cell, member, draft, [other]))
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="same payload"):
        retries.authorize(cell.ledger, draft, apart)
    retries.authorize(cell.ledger, draft, signed(cell, member, draft, [one, other]))
    assert cell.topics(member)[-2:] == ["execution.retry_authorized.v1", "workload.queued.v1"]
    cell.rest()


def test_two_keys_of_one_person_count_once(cell: Cell) -> None:
    member, execution = held(cell, persons=("same",), rules=(TWO_PERSONS,))
    second = cell.wallet("same")
    enrolled = acts.principal(second, Purpose.GOVERNANCE, "admin", GOVERNANCE)
    acts.enrol(cell.ledger, member.tenant, member.admins, enrolled)
    member.admins.append(second)
    draft = drafted(cell, execution)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="one person signed twice"):
        retries.authorize(cell.ledger, draft, signed(cell, member, draft, member.admins))


def test_the_person_who_runs_the_faulting_node_does_not_count(cell: Cell) -> None:
    member = cell.join(persons=("OpA", "OpB", "OpC", "somebody"))
    (execution,) = cell.place(member)
    operator = cell.decider.state.nodes[cell.node_of(execution)].operator
    Driver(cell, execution).fail()
    draft = drafted(cell, execution)
    concerned = [wallet for wallet in member.admins if wallet.name == operator]
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="operator"):
        retries.authorize(cell.ledger, draft, signed(cell, member, draft, [*concerned, member.admins[-1]]))
    retries.authorize(cell.ledger, draft, signed(cell, member, draft, member.admins[-1:]))
    cell.rest()


def test_strangers_and_another_tenants_admins_authorise_nothing(cell: Cell) -> None:
    member, execution = held(cell)
    other = cell.join()
    draft = drafted(cell, execution)
    for wallet in (other.admins[0], cell.root, cell.wallet("stranger")):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            retries.authorize(cell.ledger, draft, signed(cell, member, draft, [wallet]))
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        retries.authorize(cell.ledger, draft, ())


@pytest.mark.parametrize(
    "changes",
    [
        {"decision": "refuse"}, {"next_attempt": 3}, {"fault_entry": "0" * 64}, {"fault_leaf_index": 0},
        {"execution": "exec-0x" + "0" * 32}, {"policy_version": 9}, {"policy_digest": "0" * 64}, {"not_after_ms": 1},
        {"module_digest": "0" * 64}, {"bounds": {"memory_bytes": 65536, "fuel": 1, "wall_ms": 1}}, {"origin": "x"},
        {"extra": 1},
    ],
    ids=str,
)  # fmt: skip
def test_signatures_for_anything_else_do_not_count(cell: Cell, changes: dict[str, Any]) -> None:
    member, execution = held(cell)
    draft = drafted(cell, execution)
    tokens = signed(cell, member, draft, member.admins, **changes)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="does not say this"):
        retries.authorize(cell.ledger, draft, tokens)


def test_one_fault_is_decided_once_and_the_same_signatures_get_the_first_answer(cell: Cell) -> None:
    member, execution = held(cell)
    draft = drafted(cell, execution)
    tokens = signed(cell, member, draft, member.admins)
    first = retries.authorize(cell.ledger, draft, tokens)
    with cell.nothing_written():
        again = retries.authorize(cell.ledger, draft, tokens)
        assert (again.answer, again.recorded) == (first.answer, ())
    with cell.nothing_written(), pytest.raises(ConflictError, match="decided already"):
        acts.authorize_retry(cell.ledger, execution, member.admins)
    assert len(cell.events(member, RetryAuthorized)) == 1
    cell.rest()


def test_an_authorisation_that_has_expired_does_not_count(cell: Cell) -> None:
    member, execution = held(cell)
    draft = drafted(cell, execution, within_ms=60_000)
    tokens = signed(cell, member, draft, member.admins)
    cell.clock.advance_to(cell.clock.now_ms() + 60_000)
    with cell.nothing_written(), pytest.raises(RefusedError, match="expire"):
        retries.authorize(cell.ledger, draft, tokens)
    far = drafted(cell, execution, within_ms=1000 * HOUR_MS)
    with cell.nothing_written(), pytest.raises(RefusedError, match="expire"):
        retries.authorize(cell.ledger, far, signed(cell, member, far, member.admins))


def test_an_authorised_workload_that_finds_no_place_in_time_expires(cell: Cell) -> None:
    member, execution = held(cell)
    acts.authorize_retry(cell.ledger, execution, member.admins, within_ms=60_000)
    cell.advance(60_000)
    assert cell.topics(member)[-1] == "workload.expired.v1"


def test_a_policy_change_voids_what_is_open(cell: Cell) -> None:
    member, execution = held(cell, admins=2)
    draft = drafted(cell, execution)
    tokens = signed(cell, member, draft, member.admins[:1])
    member.adopt(TWO_PERSONS)
    for kept in (draft, drafted(cell, execution)):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            retries.authorize(cell.ledger, kept, tokens)


def test_bounds_beyond_the_clauses_or_the_credentials_do_not_come_in_by_a_retry(cell: Cell) -> None:
    member, execution = held(cell, memory_bytes=BOUNDS.memory_bytes)
    beyond = BOUNDS.model_copy(update={"memory_bytes": 1 << 30})
    with cell.nothing_written(), pytest.raises(RefusedError, match="maximum"):
        acts.authorize_retry(cell.ledger, execution, member.admins, bounds=beyond)
    more = BOUNDS.model_copy(update={"memory_bytes": 2 * BOUNDS.memory_bytes})
    answer = acts.authorize_retry(cell.ledger, execution, member.admins, bounds=more)
    cell.settle()
    (again,) = cell.executions(member, str(answer.answer["workload"]))
    Driver(cell, again).evidence()
    verdict = cell.history(member)[-1].event
    assert isinstance(verdict, WorkloadDenied)
    assert verdict.rule == "credential"


def test_what_has_not_faulted_or_is_not_reset_is_not_authorised(cell: Cell) -> None:
    member = cell.join()
    (execution,) = cell.place(member)
    node = Driver(cell, execution)
    with cell.nothing_written(), pytest.raises(RefusedError, match="not faulted"):
        drafted(cell, execution)
    node.evidence()
    node.started()
    node.faulted()
    with cell.nothing_written(), pytest.raises(RefusedError, match="reset"):
        acts.authorize_retry(cell.ledger, execution, member.admins)
    node.reset()
    acts.authorize_retry(cell.ledger, execution, member.admins)
    cell.rest()


def test_a_refused_retry_keeps_the_workload_held_for_good(cell: Cell) -> None:
    member, execution = held(cell, admins=2, rules=(TWO_PERSONS,))
    stranger = cell.join().admins
    for wallets in (member.admins[:1], stranger, [*member.admins[:1], *stranger]):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            acts.refuse_retry(cell.ledger, execution, wallets)
    acts.refuse_retry(cell.ledger, execution, member.admins)
    assert cell.topics(member)[-1] == "execution.retry_refused.v1"
    for act in (acts.authorize_retry, acts.refuse_retry):
        with cell.nothing_written(), pytest.raises(ConflictError, match="decided already"):
            act(cell.ledger, execution, member.admins)
    cell.advance(HOUR_MS)
    assert cell.topics(member)[-1] == "execution.retry_refused.v1"


def test_an_input_that_does_not_open_is_the_submitters_fault_and_told_to_nobody_else(cell: Cell) -> None:
    member, other = cell.join(), cell.join()
    with cell.only_written_to(member):
        submission = built(cell, member, release_key=other.tenant.release_key)
        submissions.submit(cell.ledger, member.tenant, submission.token, submission.ciphertexts)
        cell.settle()
        (execution,) = cell.executions(member, submission.workload)
        cell.run(execution)
    assert [event.kind for event in cell.events(member, ExecutionFaulted)] == ["input_error"]
    assert "execution.inputs_released.v1" not in cell.topics(member)
    assert "execution.runtime_reset.v1" in cell.topics(member)
    assert execution not in cell.decider.catch_up().live


# Quorum

QUORUM = {"kind": "independent_attestations", "count": 2}


def quorum(cell: Cell) -> tuple[Member, Driver, Driver]:
    """Return a tenant whose workload was placed on two independent nodes."""
    member = cell.join()
    member.adopt(QUORUM)
    first, second = cell.place(member)
    assert cell.node_of(first) != cell.node_of(second)
    return member, Driver(cell, first), Driver(cell, second)


def test_a_quorum_of_two_real_enclaves_is_reached(cell: Cell) -> None:
    member = cell.join()
    member.adopt(QUORUM)
    for execution in cell.place(member):
        cell.run(execution)
    (reached,) = cell.events(member, QuorumReached)
    issued = cell.events(member, CacIssued)
    assert sorted(reached.cacs) == sorted(event.cac_id for event in issued)
    assert reached.outcome == "ESCALATE"
    assert cell.topics(member)[-1] == "cac.quorum_reached.v1"


def test_a_quorum_fails_by_fault_divergence_or_rejection(cell: Cell) -> None:
    member, one, other = quorum(cell)
    one.whole()
    assert cell.events(member, QuorumReached) == []
    other.fail()
    assert [event.reason for event in cell.events(member, QuorumFailed)] == ["fault"]

    member, one, other = quorum(cell)
    one.whole()
    other.evidence()
    other.started()
    other.completed(output=b'{"other":1}')
    other.reset()
    assert [event.reason for event in cell.events(member, QuorumFailed)] == ["divergence"]

    member, one, other = quorum(cell)
    other.evidence()
    other.started()
    other.completed(other.signed(other.document(host="other.example")))
    other.reset()
    one.whole()
    assert [event.reason for event in cell.events(member, QuorumFailed)] == ["rejected"]
    assert cell.events(member, QuorumReached) == []


def test_a_quorum_whose_last_enclave_is_lost_fails(cell: Cell) -> None:
    member, one, other = quorum(cell)
    one.whole()
    other.evidence()
    other.started()
    cell.advance(HOUR_MS)
    assert [event.kind for event in cell.events(member, ExecutionFaulted)] == ["node_lost"]
    assert [event.reason for event in cell.events(member, QuorumFailed)] == ["fault"]


def test_of_two_faults_of_one_attempt_only_one_leads_on(cell: Cell) -> None:
    member, one, other = quorum(cell)
    for step in ("evidence", "started", "faulted", "reset"):
        for node in (one, other):
            assert getattr(node, step)().answer["accepted"] is True
    acts.authorize_retry(cell.ledger, one.execution, member.admins)
    with cell.nothing_written(), pytest.raises(ConflictError):
        acts.authorize_retry(cell.ledger, other.execution, member.admins)
    cell.settle()
    with cell.nothing_written(), pytest.raises(ConflictError):
        acts.authorize_retry(cell.ledger, other.execution, member.admins)
    cell.rest()


def test_after_a_fault_a_refused_twin_does_not_queue_the_workload_again(cell: Cell) -> None:
    """Nothing runs again until governance authorises it (domain rule 4)."""
    member, one, other = quorum(cell)
    one.fail()
    other.evidence(measurement="0" * 64)
    size = len(cell.history(member))
    cell.settle()
    assert "workload.queued.v1" not in cell.topics(member)[size:]
    cell.rest()


# Reproducibility


def story(cell: Cell) -> list[tuple[str, str, str, int]]:
    """Act, and return what happened in the order of the feed."""
    member, execution = held(cell, dao="StoryDAO", admins=2)
    acts.authorize_retry(cell.ledger, execution, member.admins[:1])
    cell.settle()
    for live in list(cell.decider.state.live):
        cell.run(live)
    denied = cell.join(dao="OtherDAO", classes=["Disaster::Other@v1"])
    cell.submit(denied)
    cell.advance(HOUR_MS)
    logs = {log.log_id: log.origin for log in cell.ledger.logs()}
    return [
        (logs[log_id], recorded.event.TOPIC, str(recorded.stream_id), recorded.version)
        for log_id in logs
        for recorded in cell.history(log_id)
    ]


def test_the_same_acts_with_one_seed_give_the_same_logs_topics_streams_and_versions(make_cell: MakeCell) -> None:
    first, second = make_cell(7), make_cell(7)
    assert story(first) == story(second)
    assert {s.entry for log in first.ledger.logs() for s in first.ledger.recorder.every_entry(log.log_id)}.isdisjoint(
        {s.entry for log in second.ledger.logs() for s in second.ledger.recorder.every_entry(log.log_id)}
    )


def given_up(cell: Cell, *recipients: str) -> tuple[Member, str]:
    """Return a tenant and the last execution of a workload that is held because its nodes' evidence is refused."""
    member = cell.join()
    member.adopt({"kind": "notification", "recipients": list(recipients)}) if recipients else member.adopt()
    workload = cell.submit(member)
    for _ in range(MAX_FAILURES):
        cell.settle()
        (execution,) = cell.executions(member, workload)
        Driver(cell, execution).evidence(measurement="0" * 64)
    cell.settle()
    return member, execution


def test_who_is_held_for_its_nodes_is_told_of_and_runs_once_governance_says_so(cell: Cell, tmp_path: Path) -> None:
    member, execution = given_up(cell, "ParentOfNodes")
    (fault,), (notice,) = cell.events(member, ExecutionFaulted), cell.events(member, NoticeRequested)
    assert (fault.execution_id, fault.kind, fault.report) == (execution, "node_lost", None)
    assert (notice.execution_id, notice.recipient) == (execution, "ParentOfNodes")
    row = explain(cell.ledger, cell.events(member, WorkloadQueued)[0].workload_id)
    assert (row["status"], row["reason"]) == ("held", "fault: node_lost")
    cell.rest()
    assert len(cell.events(member, WorkloadPlaced)) == MAX_FAILURES, "nothing runs again by itself"
    acts.authorize_retry(cell.ledger, execution, member.admins, bounds=BOUNDS)
    cell.settle()
    (again,) = cell.executions(member, row["workload"])
    Driver(cell, again).whole()
    cell.settle()
    assert len(cell.events(member, CacIssued)) == 1
    with pytest.raises(ConflictError):
        acts.authorize_retry(cell.ledger, execution, member.admins, bounds=BOUNDS)
    export_bundle(cell.ledger, member.log_id, tmp_path / "bundle", with_keys="all")
    verdict = verify_bundle(tmp_path / "bundle")
    assert verdict.ok, verdict.first_error


def test_what_was_abandoned_faults_once_and_only_where_it_would_be_placed_again(cell: Cell, tmp_path: Path) -> None:
    member, execution = given_up(cell)
    (fault,) = cell.events(member, ExecutionFaulted)
    stream = cell.ledger.stream(member.log_id, stream_of(execution))
    cell.ledger.append([Pending(member.log_id, stream_of(execution), stream[-1].version + 1, fault)])
    export_bundle(cell.ledger, member.log_id, tmp_path / "bundle", with_keys="all")
    verdict = verify_bundle(tmp_path / "bundle")
    assert not verdict.ok
    assert "is not placed again" in (verdict.first_error or "")
