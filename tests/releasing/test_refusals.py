"""A releaser that refuses says so in the tenant's log: the attempt ends at once, for a reason of its own."""

import json
from typing import Any

import pytest

from domain.errors import ConflictError, LedgerError, MalformedError, NotAuthorisedError, RefusedError
from domain.executions.events import ExecutionAbandoned, ExecutionFaulted, NoticeRequested, ReleaseRefused
from domain.executions.releases import refusal_claims
from domain.statements import ENDORSEMENT
from domain.time import HOUR_MS
from infrastructure.audit.opening import Opened
from infrastructure.client import acts
from infrastructure.commands.releases import refuse
from infrastructure.explaining import explained
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.releasing.demands import Demands
from infrastructure.statements import jws
from infrastructure.statements.payload import payload
from infrastructure.thaw.restored import commands_of
from projections import audit_trail
from tests.commands.cell import ENTROPY, Cell, MakeCell
from tests.commands.driver import Driver
from tests.projections.lives import fold
from tests.releasing.scene import Scene, waiting_scene
from tests.releasing.test_audited import changed, follow, opened

REFUSED = "execution.release_refused.v1"
WHY = "the node is none that this releaser allows: alpha"
VENDOR = Demands(evidence_classes=("vendor",))


def refusal(scene: Scene, wallet: Wallet | None = None, **changes: Any) -> str:
    """Return a releaser's statement that refuses."""
    own = wallet or scene.member.admins[0]
    content = payload(
        iss=own.did(Purpose.ENDORSEMENT), aud=scene.member.tenant.origin,
        claims={**refusal_claims(scene.execution, WHY), **changes}, now_ms=scene.cell.clock.now_ms(), entropy=ENTROPY,
    )  # fmt: skip
    return jws.sign(ENDORSEMENT, own.key(Purpose.ENDORSEMENT), content)


def next_attempt(scene: Scene) -> None:
    """Let the next attempt come to wait."""
    scene.cell.settle()
    (scene.execution,) = scene.cell.decider.state.live
    scene.node = Driver(scene.cell, scene.execution)
    assert scene.node.evidence().answer["accepted"]
    scene.cell.settle()


def test_a_refusal_ends_the_attempt_at_once_for_its_own_reason(make_cell: MakeCell) -> None:
    cell = make_cell()
    scene = waiting_scene(cell)
    refused = scene.execution
    assert refuse(cell.ledger, refusal(scene)).answer == {"released": False, "reason": WHY}
    (said,) = cell.events(scene.member, ReleaseRefused)
    (ended,) = cell.events(scene.member, ExecutionAbandoned)
    assert (said.execution_id, said.reason) == (refused, WHY)
    assert (ended.execution_id, ended.reason, ended.report) == (refused, "release_refused", None)
    next_attempt(scene)
    assert scene.execution != refused
    assert cell.events(scene.member, ExecutionFaulted) == []
    assert all(cell.decider.state.signs.shortfalls.get(name) is None for name in cell.nodes)
    assert scene.agent().once().released == 1, "the next attempt is a new question"


def test_three_refusals_hold_the_workload_as_what_they_are_and_governance_lets_it_go_on(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join(own_custody=True)
    member.adopt(
        {"kind": "notification", "recipients": ["TreatyMonitor"]},
        {"kind": "re_authorisation", "roles": ["admin"], "threshold": 1},
    )
    scene = waiting_scene(cell, member)
    for attempt in (1, 2, 3):
        if attempt > 1:
            next_attempt(scene)
        refuse(cell.ledger, refusal(scene))
    cell.settle()
    (fault,) = cell.events(member, ExecutionFaulted)
    assert (fault.execution_id, fault.kind, fault.report) == (scene.execution, "release_refused", None)
    assert [one.kind for one in cell.events(member, NoticeRequested)] == ["release_refused"]
    assert cell.decider.state.live == {}
    follow(opened(cell, member))
    acts.authorize_retry(cell.ledger, scene.execution, member.admins[:1])
    next_attempt(scene)
    assert scene.agent().once().released == 1
    follow(opened(cell, member))


@pytest.mark.parametrize(
    ("ends", "kind"), [("rre", "release_awaited"), ("eer", "release_refused"), ("eee", "release_awaited")]
)
def test_the_last_attempts_end_names_why_it_is_held(make_cell: MakeCell, ends: str, kind: str) -> None:
    cell = make_cell()
    scene = waiting_scene(cell)
    for at, end in enumerate(ends):
        if at:
            next_attempt(scene)
        if end == "r":
            refuse(cell.ledger, refusal(scene))
        else:
            cell.advance(HOUR_MS)
    cell.settle()
    assert [one.kind for one in cell.events(scene.member, ExecutionFaulted)] == [kind]


def test_the_same_refusal_gets_the_first_answer_and_nothing_more_comes_of_it(cell: Cell) -> None:
    scene = waiting_scene(cell)
    token = refusal(scene)
    first = refuse(cell.ledger, token)
    assert len(first.recorded) == 2
    with cell.nothing_written():
        assert refuse(cell.ledger, token).answer == first.answer
        with pytest.raises(RefusedError, match="refused this execution its inputs"):
            refuse(cell.ledger, refusal(scene))
        assert scene.source().release(token, []) == first.answer, "a statement that was carried out is answered so"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"reason": ""}, MalformedError),
        ({"reason": "x" * 301}, MalformedError),
        ({"reason": 7}, MalformedError),
        ({"act": "release_inputs"}, NotAuthorisedError),
        ({"more": 1}, NotAuthorisedError),
        ({"execution": 7}, MalformedError),
    ],
)
def test_a_refusal_that_says_anything_else_is_refused(
    cell: Cell, changes: dict[str, Any], error: type[LedgerError]
) -> None:
    scene = waiting_scene(cell)
    token = refusal(scene, **changes)
    with cell.nothing_written(), pytest.raises(error):
        refuse(cell.ledger, token)


def test_only_the_tenants_own_releaser_refuses(cell: Cell) -> None:
    scene, other = waiting_scene(cell), cell.join(own_custody=True)
    for wallet in (other.admins[0], cell.wallet("stranger", custody=True)):
        token = refusal(scene, wallet)
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            refuse(cell.ledger, token)


def test_what_was_released_is_not_refused_any_more(cell: Cell) -> None:
    scene = waiting_scene(cell)
    token = refusal(scene)
    assert scene.agent().once().released == 1
    with cell.nothing_written(), pytest.raises(ConflictError, match="released"):
        refuse(cell.ledger, token)


def test_a_refusal_that_comes_too_late_is_refused(make_cell: MakeCell) -> None:
    cell = make_cell()
    scene = waiting_scene(cell)
    token = refusal(scene)
    cell.clock.advance_to(cell.clock.now_ms() + HOUR_MS)
    with cell.nothing_written(), pytest.raises(LedgerError):
        refuse(cell.ledger, token)


def test_a_releaser_that_refuses_says_so_in_the_log_and_why_tells(cell: Cell) -> None:
    scene = waiting_scene(cell)
    counts = scene.agent(demands=VENDOR).once()
    assert (counts.released, counts.refused) == (0, 1)
    (said,) = cell.events(scene.member, ReleaseRefused)
    assert said.reason == "the class of evidence is none that this releaser allows: software"
    assert any("the ledger has the refusal" in line for line in scene.told)
    rows = fold(audit_trail.project, list(cell.history(scene.member)))
    run = rows[f"execution/{scene.execution}"]
    assert (run["status"], run["reason"], run["release_refused"]) == ("abandoned", "release_refused", said.reason)
    workload = {**rows[f"workload/{run['workload']}"], "workload": run["workload"], "runs": [run]}
    assert any(f"abandoned: release_refused {said.reason}" in line for line in explained(workload))


def test_the_record_of_a_refusal_follows_from_its_entry(cell: Cell) -> None:
    scene = waiting_scene(cell)
    token = refusal(scene)
    refuse(cell.ledger, token)
    (recorded,) = [one for one in cell.history(scene.member) if isinstance(one.event, ReleaseRefused)]
    (command,) = commands_of(cell.ledger, recorded)
    assert cell.ledger.answered(command) == command.answer == {"released": False, "reason": WHY}


@pytest.fixture(scope="module")
def refused(cell: Cell) -> list[Opened]:
    """Return the history of a tenant whose releaser refused once and released then."""
    scene = waiting_scene(cell)
    refuse(cell.ledger, refusal(scene))
    cell.settle()
    return opened(cell, scene.member)


def test_a_refusal_is_verified_by_an_auditor(refused: list[Opened]) -> None:
    assert any("refusals by the tenant's own releaser" in one for one in follow(refused).checked())


@pytest.mark.parametrize(
    ("topic", "change"),
    [
        pytest.param(REFUSED, lambda e: e.update(reason="another"), id="another reason"),
        pytest.param(REFUSED, lambda e: e.update(statement=e["statement"][:-4] + "AAAA"), id="a statement forged"),
        pytest.param(
            "execution.abandoned.v1", lambda e: e.update(reason="release_expired"), id="ended for another reason"
        ),
    ],
)
def test_a_refusal_that_was_forged_is_found(refused: list[Opened], topic: str, change: Any) -> None:
    with pytest.raises(LedgerError, match="entry"):
        follow(changed(refused, topic, change))


def test_an_end_by_a_refusal_that_nobody_signed_is_found(refused: list[Opened]) -> None:
    versions = {one.stream_id: one.version for one in refused if one.topic == REFUSED}
    without = [
        one._replace(version=one.version - 1)
        if one.stream_id in versions and one.version > versions[one.stream_id]
        else one
        for one in refused
        if one.topic != REFUSED
    ]
    assert json.loads(without[-1].event)
    with pytest.raises(LedgerError, match="refus"):
        follow(without)
