"""Submissions: what is denied with an event, what is refused without one, and what may be repeated."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from domain.cacs.events import UsageMetered
from domain.canonical import canonical
from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError, UnknownError
from domain.identifiers import uuid7, workload_id
from domain.message import Event
from domain.time import DAY_MS, HOUR_MS
from domain.workloads.events import CredentialChecked, WorkloadDenied, WorkloadQueued
from infrastructure.client import acts
from infrastructure.client.submission import InputSource, Submission, SubmissionFile, build_submission
from infrastructure.commands import submissions
from infrastructure.commands.loading import find_log
from infrastructure.keys import base64url
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements import jws
from tests.commands.cell import BOUNDS, CLASS, ENTROPY, FLOOD, FLOWS, THRESHOLD, Cell, Member
from tests.commands.driver import Driver

UNKNOWN = "UNDRR::Disaster::Unregistered@1.0.0"


def built(
    cell: Cell, member: Member, *, wallet: Wallet | None = None, release_key: str = "", **asked: Any
) -> Submission:
    """Return a submission that was not handed in."""
    named: dict[str, Any] = {"clause_id": FLOOD, "resource_class": CLASS, "bounds": BOUNDS, **asked}
    content = SubmissionFile(inputs=(InputSource(text="x"), InputSource(text="x")), **named)
    return build_submission(
        content, [FLOWS, THRESHOLD], wallet=wallet or member.admins[0],
        workload=uuid7(cell.clock.now_ms(), int.from_bytes(ENTROPY.bytes(9), "big")),
        origin=member.tenant.origin, release_key=release_key or member.tenant.release_key,
        now_ms=cell.clock.now_ms(), entropy=ENTROPY,
    )  # fmt: skip


def hand_in(cell: Cell, member: Member, submission: Submission) -> Any:
    """Hand a submission in."""
    return submissions.submit(cell.ledger, member.tenant, submission.token, submission.ciphertexts)


def resigned(member: Member, token: str, **changes: Any) -> str:
    """Return a submission signed again after changes to its payload, whatever they are; None takes a member out."""
    header, payload = jws.peek(token)
    kept = {name: value for name, value in {**payload, **changes}.items() if value is not None}
    signing_input = ".".join(base64url.encode(canonical(part)) for part in (header, kept))
    signature = member.admins[0].key(Purpose.SUBMISSION).sign(signing_input.encode())
    return f"{signing_input}.{base64url.encode(signature)}"


def denied(cell: Cell, member: Member) -> WorkloadDenied:
    """Return the last denial, which must be the last event."""
    event: Event = cell.history(member)[-1].event
    assert isinstance(event, WorkloadDenied)
    return event


def test_an_unknown_clause_is_denied_at_the_clause_gate(cell: Cell) -> None:
    member = cell.join()
    cell.submit(member, clause_id=UNKNOWN)
    verdict = denied(cell, member)
    assert (verdict.gate, verdict.reason) == ("clause", "the clause is not registered")
    cell.settle()
    assert denied(cell, member) == verdict


def test_a_credential_that_has_expired_denies_before_the_clause_is_looked_at(cell: Cell) -> None:
    member = cell.join(valid_ms=HOUR_MS)
    cell.advance(HOUR_MS)
    cell.submit(member, clause_id=UNKNOWN)
    verdict = denied(cell, member)
    assert verdict.gate == "credential"
    assert "expired" in verdict.reason
    assert cell.events(member, CredentialChecked)[-1].passed is False


def test_a_credential_expires_at_its_very_instant(cell: Cell) -> None:
    member = cell.join(valid_ms=DAY_MS)
    granted = cell.clock.now_ms()
    cell.clock.advance_to(granted + DAY_MS - 1000)
    cell.submit(member, clause_id=UNKNOWN)
    assert denied(cell, member).gate == "clause"
    cell.clock.advance_to(granted + DAY_MS)
    cell.submit(member, clause_id=UNKNOWN)
    assert denied(cell, member).gate == "credential"


def test_a_renewed_credential_lets_the_next_submission_through(cell: Cell) -> None:
    member = cell.join(valid_ms=HOUR_MS)
    cell.advance(HOUR_MS)
    acts.renew_credential(
        cell.ledger, member.tenant, [cell.root], families=["UNDRR::Disaster::Flood"], resource_classes=[CLASS]
    )
    cell.submit(member)
    assert cell.topics(member)[-1] == "workload.queued.v1"
    cell.rest()


@pytest.mark.parametrize(
    ("scope", "what"),
    [
        ({"families": ["UNDRR::Disaster::Other"]}, "doesn't cover clauses of UNDRR::Disaster::Flood"),
        ({"classes": ["Disaster::Other@v1"]}, "doesn't cover the resource class"),
        ({"memory_bytes": 65_536}, "allows 65536 bytes of memory"),
    ],
)
def test_a_credential_that_does_not_reach_so_far_denies(cell: Cell, scope: dict[str, Any], what: str) -> None:
    member = cell.join(**scope)
    cell.submit(member)
    verdict = denied(cell, member)
    assert verdict.gate == "credential"
    assert what in verdict.reason


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"bounds": BOUNDS.model_copy(update={"fuel": 10**12})}, "bounds exceed"),
        ({"resource_class": "Disaster::Drought@v1"}, "resource class"),
    ],
)
def test_what_the_clause_does_not_allow_is_denied_at_its_gate(cell: Cell, asked: dict[str, Any], what: str) -> None:
    member = cell.join(classes=[CLASS, "Disaster::Drought@v1"])
    cell.submit(member, **asked)
    verdict = denied(cell, member)
    assert verdict.gate == "clause"
    assert what in verdict.reason


def test_a_clause_that_is_not_open_to_a_dao_or_jurisdiction_is_denied(cell: Cell) -> None:
    cell.register("UNDRR::Disaster::Flood@2.0.0", "flood", inputs=2, daos=["ClauseHouse"])
    cell.register("UNDRR::Disaster::Flood@3.0.0", "flood", inputs=2, jurisdictions=["KEN"])
    member = cell.join()
    for version, what in (("2.0.0", "this DAO"), ("3.0.0", "this jurisdiction")):
        cell.submit(member, clause_id=f"UNDRR::Disaster::Flood@{version}")
        assert what in denied(cell, member).reason


def _wrong_key(cell: Cell, member: Member) -> str:
    return built(cell, member, wallet=cell.wallet("stranger")).token


def _other_purpose(cell: Cell, member: Member) -> str:
    payload = jws.peek(built(cell, member).token)[1]
    return jws.sign(jws.SUBMISSION, member.admins[0].key(Purpose.GOVERNANCE), payload)


def _other_type(cell: Cell, member: Member) -> str:
    payload = jws.peek(built(cell, member).token)[1]
    return jws.sign(jws.GOVERNANCE, member.admins[0].key(Purpose.SUBMISSION), payload)


def _other_log(cell: Cell, member: Member) -> str:
    return resigned(member, built(cell, member).token, aud=cell.owner.tenant.origin)


def _in_the_tenants_name(cell: Cell, member: Member) -> str:
    return resigned(member, built(cell, member).token, iss=member.tenant.did)


def _expired_statement(cell: Cell, member: Member) -> str:
    now_s = cell.clock.now_ms() // 1000
    return resigned(member, built(cell, member).token, iat=now_s - 10, exp=now_s)


def _from_the_future(cell: Cell, member: Member) -> str:
    now_s = cell.clock.now_ms() // 1000
    return resigned(member, built(cell, member).token, iat=now_s + 1000, exp=now_s + 2000)


def _member_changed(cell: Cell, member: Member) -> str:
    header, payload, signature = built(cell, member).token.split(".")
    other = resigned(member, built(cell, member).token, resource_class="Disaster::Other@v1").split(".")[1]
    assert other != payload
    return f"{header}.{other}.{signature}"


@pytest.mark.parametrize(
    "token_of",
    [
        _wrong_key,
        _other_purpose,
        _other_type,
        _other_log,
        _in_the_tenants_name,
        _expired_statement,
        _from_the_future,
        _member_changed,
    ],
)
def test_a_statement_that_nobody_entitled_signed_is_refused_and_nothing_is_written(
    cell: Cell, token_of: Callable[[Cell, Member], str]
) -> None:
    member = cell.join()
    ciphertexts = built(cell, member).ciphertexts
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        submissions.submit(cell.ledger, member.tenant, token_of(cell, member), ciphertexts)


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": 1}, {"clause_id": None}, {"clause_id": "flood"}, {"resource_class": "flood"}, {"bounds": {"fuel": 1}},
        {"workload": "exec-0x" + "0" * 32}, {"workload": "wl-0x" + "0" * 31}, {"workload": "wl-0x" + "A" * 32},
        {"workload": "wl-0x" + "0" * 32}, {"inputs": []}, {"not_after_ms": "soon"}, {"trigger": "no word"},
        {"tags": ["a b"]}, {"jti": "x"}, {"aud": ["ledger.example/t/1"]},
    ],
    ids=str,
)  # fmt: skip
def test_a_malformed_submission_is_refused_and_nothing_is_written(cell: Cell, changes: dict[str, Any]) -> None:
    member = cell.join()
    submission = built(cell, member)
    token = resigned(member, submission.token, **changes)
    with cell.nothing_written(), pytest.raises(MalformedError):
        submissions.submit(cell.ledger, member.tenant, token, submission.ciphertexts)


@pytest.mark.parametrize("wait_ms", [0, -1, 31 * DAY_MS])
def test_a_waiting_time_out_of_range_is_refused(cell: Cell, wait_ms: int) -> None:
    member = cell.join()
    submission = built(cell, member)
    token = resigned(member, submission.token, not_after_ms=cell.clock.now_ms() + wait_ms)
    with cell.nothing_written(), pytest.raises(RefusedError, match="30 days"):
        submissions.submit(cell.ledger, member.tenant, token, submission.ciphertexts)


def test_ciphertexts_other_than_those_that_were_named_are_refused(cell: Cell) -> None:
    member = cell.join()
    submission, other = built(cell, member), built(cell, member)
    for wrong in (other.ciphertexts, submission.ciphertexts[:1], submission.ciphertexts[::-1], ()):
        with cell.nothing_written(), pytest.raises(MalformedError, match="input"):
            submissions.submit(cell.ledger, member.tenant, submission.token, wrong)


def test_a_submission_sent_again_gets_its_first_answer_and_appends_nothing(cell: Cell) -> None:
    member = cell.join()
    submission = built(cell, member)
    first = hand_in(cell, member, submission)
    with cell.nothing_written():
        again = hand_in(cell, member, submission)
    assert (again.answer, again.recorded) == (first.answer, ())
    assert first.answer == {"workload": submission.workload}
    cell.rest()


def test_a_command_id_with_another_body_is_refused(cell: Cell) -> None:
    member = cell.join()
    submission, other = built(cell, member), built(cell, member)
    hand_in(cell, member, submission)
    token = resigned(member, other.token, jti=jws.peek(submission.token)[1]["jti"])
    with cell.nothing_written(), pytest.raises(ConflictError, match="another body"):
        submissions.submit(cell.ledger, member.tenant, token, other.ciphertexts)
    cell.rest()


def test_a_workload_id_is_used_once(cell: Cell) -> None:
    member = cell.join()
    submission, other = built(cell, member), built(cell, member)
    hand_in(cell, member, submission)
    token = resigned(member, other.token, workload=submission.workload)
    with cell.nothing_written(), pytest.raises(ConflictError, match="taken"):
        submissions.submit(cell.ledger, member.tenant, token, other.ciphertexts)
    cell.rest()


def test_the_id_of_any_stream_is_no_workload_id_of_anybody_else(cell: Cell) -> None:
    """Else one tenant's ids could stand in another's place in the queue, or make its ids ambiguous."""
    victim, member = cell.join(), cell.join()
    taken = hand_in(cell, victim, built(cell, victim)).answer["workload"]
    streams = [taken, workload_id(cell.ledger.platform().log_id), workload_id(victim.log_id)]
    for workload in streams:
        submission = built(cell, member)
        token = resigned(member, submission.token, workload=workload)
        with cell.nothing_written(), pytest.raises(ConflictError, match="taken"):
            submissions.submit(cell.ledger, member.tenant, token, submission.ciphertexts)
    cell.settle()
    assert cell.topics(victim)[-1] == "execution.reserved.v1"
    cell.rest()


def test_two_tenants_that_hand_one_id_in_at_the_same_moment_do_not_both_get_it(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = cell.join(), cell.join()
    one, other = built(cell, first), built(cell, second)
    token = resigned(second, other.token, workload=one.workload)
    checked = submissions.check_credential

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(submissions, "check_credential", checked)
        hand_in(cell, first, one)
        return checked(*arguments)

    monkeypatch.setattr(submissions, "check_credential", meanwhile)
    with pytest.raises(ConflictError):
        submissions.submit(cell.ledger, second.tenant, token, other.ciphertexts)
    assert cell.topics(first)[-1] == "workload.queued.v1"
    assert cell.topics(second)[-1] == "tenant.principal_enrolled.v1"
    cell.rest()


def test_a_submission_that_comes_twice_at_the_same_moment_gets_one_answer(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = cell.join()
    submission = built(cell, member)
    free, first = submissions._free_stream, []

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(submissions, "_free_stream", free)
        first.append(hand_in(cell, member, submission))
        return free(*arguments)

    monkeypatch.setattr(submissions, "_free_stream", meanwhile)
    answer = submissions.submit(cell.ledger, member.tenant, submission.token, submission.ciphertexts)
    assert first
    assert (answer.recorded, answer.answer["workload"]) == ((), submission.workload)
    cell.rest()


def test_nobody_submits_to_the_root_scope(cell: Cell) -> None:
    scope = Member(cell, find_log(cell.ledger, "root").log_id, [cell.root])
    member = cell.join()
    submission = built(cell, member)
    token = resigned(member, submission.token, aud=scope.tenant.origin)
    with cell.nothing_written(), pytest.raises(RefusedError):
        submissions.submit(cell.ledger, scope.tenant, token, submission.ciphertexts)


def test_inputs_are_nowhere_in_the_database_in_the_clear(cell: Cell) -> None:
    member = cell.join()
    submission = built(cell, member)
    hand_in(cell, member, submission)
    everything = b"".join(entry for entries in cell.entries().values() for entry in entries)
    for ciphertext in submission.ciphertexts:
        assert FLOWS not in ciphertext
        assert ciphertext not in everything
    assert hashlib.sha256(FLOWS).digest() not in everything
    cell.rest()


# Cancellation


def test_a_waiting_workload_is_taken_back_by_its_own_submitter_only(cell: Cell) -> None:
    member, other = cell.join(), cell.join()
    workload = cell.submit(member)
    for wallet in (other.admins[0], cell.wallet("stranger")):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            acts.cancel(cell.ledger, member.tenant, wallet, workload)
    with cell.nothing_written(), pytest.raises(UnknownError):
        acts.cancel(cell.ledger, other.tenant, other.admins[0], workload)
    acts.cancel(cell.ledger, member.tenant, member.admins[0], workload)
    cell.settle()
    assert cell.topics(member)[-1] == "workload.cancelled.v1"
    with cell.nothing_written(), pytest.raises(ConflictError, match="does not wait"):
        acts.cancel(cell.ledger, member.tenant, member.admins[0], workload)


def test_what_runs_is_not_taken_back(cell: Cell) -> None:
    member = cell.join()
    cell.place(member)
    workload = cell.decider.state.live[cell.place(member)[0]].queued.workload_id
    with cell.nothing_written(), pytest.raises(ConflictError, match="does not wait"):
        acts.cancel(cell.ledger, member.tenant, member.admins[0], workload)
    cell.rest()


def test_a_deprecated_clause_takes_no_new_submission_and_what_waits_goes_on(cell: Cell) -> None:
    clause = "UNDRR::Disaster::Flood@4.0.0"
    cell.register(clause, "flood", inputs=2)
    member = cell.join()
    early = cell.submit(member, clause_id=clause)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        acts.deprecate_clause(cell.ledger, member.tenant, member.admins, clause, "superseded")
    acts.deprecate_clause(cell.ledger, cell.owner.tenant, cell.owner.admins, clause, "superseded")
    cell.submit(member, clause_id=clause)
    assert denied(cell, member).reason == "the clause is deprecated"
    cell.settle()
    assert cell.executions(member, early)
    cell.rest()


def test_a_workload_may_ask_for_several_slots_and_is_metered_for_them(cell: Cell) -> None:
    member = cell.join()
    (one,), (three,) = cell.place(member), cell.place(member, slots=3)
    facts = {event.facts.slots for event in cell.events(member, WorkloadQueued)}
    assert facts == {1, 3}
    cell.clock.advance_to(cell.clock.now_ms() + 700)
    for execution in (one, three):
        Driver(cell, execution).whole()
    metered = {event.execution_id: event for event in cell.events(member, UsageMetered)}
    assert metered[three].slot_ms == 3 * metered[one].slot_ms > 0
    with cell.nothing_written(), pytest.raises(ValidationError):
        cell.submit(member, slots=0)
