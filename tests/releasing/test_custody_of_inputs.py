"""Custody of the tenant: gate, wait, release and result, over a real ledger and a real keep."""

from typing import Any

import pytest

from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError, UnknownError
from domain.executions.events import (
    EnclaveProvisioned,
    ExecutionAbandoned,
    ExecutionFaulted,
    InputsReleased,
    ReleaseAwaited,
)
from domain.statements import ENDORSEMENT
from domain.workloads.events import WorkloadDenied
from infrastructure.client import acts, governance
from infrastructure.client.submission import InputSource, SubmissionFile, build_submission
from infrastructure.commands import submissions
from infrastructure.commands.offers import offer
from infrastructure.commands.provisioning import released_inputs
from infrastructure.commands.releases import release, require_own
from infrastructure.commands.tenants import OwnCustody
from infrastructure.keys.log_keys import LogKeys
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.node_agent import NodeAgent
from infrastructure.releasing.judging import judge, seal
from infrastructure.statements import jws
from infrastructure.statements.payload import payload
from tests.commands.cell import BOUNDS, CLASS, ENTROPY, FLOOD, FLOWS, THRESHOLD, Cell, MakeCell
from tests.commands.driver import Driver
from tests.releasing.scene import Scene, releaser_of, waiting_scene

HOUR_MS = 3_600_000


def made(scene: Scene, wallet: Wallet | None = None, **changed: Any) -> tuple[str, list[bytes]]:
    """Return a release as the tenant's releaser signs it; members may be changed."""
    own = wallet or scene.member.admins[0]
    offered = scene.offered()
    judged = judge(offered, scene.execution, releaser_of(scene.member), scene.cell.clock.now_ms())
    sealed = seal(judged, offered, scene.member.admins[0].custody().release)
    claims = {**judged.claims(sealed), **changed}
    content = payload(
        iss=own.did(Purpose.ENDORSEMENT), aud=offered.origin, claims=claims, now_ms=scene.cell.clock.now_ms(),
        entropy=ENTROPY,
    )  # fmt: skip
    return jws.sign(ENDORSEMENT, own.key(Purpose.ENDORSEMENT), content), sealed


def handed_in(scene: Scene, token: str, sealed: list[bytes]) -> dict[str, object]:
    return dict(release(scene.cell.ledger, scene.cell.decider.catch_up(), token, sealed).answer)


def test_the_keyring_holds_nothing_that_opens_inputs_or_outputs(cell: Cell) -> None:
    member = cell.join(own_custody=True)
    keys: LogKeys = cell.ledger.keyring.get(member.log_id)
    assert keys.own_custody
    for act in (keys.release_key, keys.output_key):
        with pytest.raises(UnknownError, match="the tenant itself holds this key"):
            act()
    assert member.tenant.custody == "tenant"
    assert member.tenant.release_key == member.admins[0].custody().release.public.hex()


def test_an_execution_waits_and_its_releaser_lets_it_run_to_a_cac(cell: Cell) -> None:
    member = cell.join(own_custody=True)
    (execution,) = cell.place(member, (FLOWS, THRESHOLD))
    agent = NodeAgent(cell.ledger, cell.nodes[cell.node_of(execution)], cell.keeps)
    running = agent.start(cell.decider.catch_up(), execution)
    assert running is not None
    assert running.result is None
    cell.settle()
    scene = Scene(cell, member, execution, None)  # type: ignore[arg-type] # no driver here
    assert scene.agent().once().released == 1, scene.told
    cell.settle()
    assert agent.resume(cell.decider.state, running)
    cell.clock.advance_to(cell.clock.now_ms() + 500)
    agent.finish(cell.decider.catch_up(), running, 500)
    cell.settle()
    topics = cell.topics(member)
    assert topics.count("cac.issued.v1") == 1
    (released,) = cell.events(member, InputsReleased)
    assert released.released_by == "custody: tenant"
    assert released.statement is not None
    assert len(cell.events(member, ReleaseAwaited)) == 1


def test_nothing_leaves_before_the_release_is_durable(cell: Cell) -> None:
    scene = waiting_scene(cell)
    with pytest.raises(RefusedError, match="no inputs are released"):
        released_inputs(cell.ledger, scene.execution)
    token, sealed = made(scene)
    assert handed_in(scene, token, sealed) == {"released": True, "reason": ""}
    assert list(released_inputs(cell.ledger, scene.execution)[0]) == sealed


def test_the_same_statement_gets_the_first_answer_and_another_one_is_refused(cell: Cell) -> None:
    scene = waiting_scene(cell)
    token, sealed = made(scene)
    other, otherwise = made(scene)
    first = handed_in(scene, token, sealed)
    with cell.nothing_written():
        assert handed_in(scene, token, sealed) == first
        with pytest.raises(ConflictError, match="released to this execution already"):
            handed_in(scene, other, otherwise)
    assert list(released_inputs(cell.ledger, scene.execution)[0]) == sealed


def test_a_releaser_that_was_killed_before_its_answer_came_finds_its_release_taken(cell: Cell) -> None:
    scene = waiting_scene(cell)
    handed_in(scene, *made(scene))  # its answer is lost with the process
    scene.agent()._one(scene.execution)
    assert "released to this execution already" in scene.told[-1]


@pytest.mark.parametrize(
    "member",
    ["execution", "evidence_digest", "nonce", "report_data", "hpke_key_digest", "commitments", "inputs", "act"],
)
def test_a_release_that_names_anything_else_is_refused(cell: Cell, member: str) -> None:
    scene = waiting_scene(cell)
    wrong: dict[str, Any] = {member: ["0" * 64] if member in {"commitments", "inputs"} else "0" * 64}
    token, sealed = made(scene, **wrong)
    with cell.nothing_written(), pytest.raises((NotAuthorisedError, MalformedError, ValueError)):
        handed_in(scene, token, sealed)


def test_other_ciphertexts_than_the_statement_names_are_refused(cell: Cell) -> None:
    scene = waiting_scene(cell)
    token, sealed = made(scene)
    for wrong in (sealed[::-1], sealed[:1], [*sealed, sealed[0]], [sealed[0], sealed[1][:-1] + b"x"]):
        with cell.nothing_written(), pytest.raises(MalformedError, match="not those that the statement names"):
            handed_in(scene, token, wrong)


def test_only_the_tenants_own_releaser_releases(cell: Cell) -> None:
    scene, other = waiting_scene(cell), cell.join(own_custody=True)
    token, sealed = made(scene, wallet=other.admins[0])
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        handed_in(scene, token, sealed)


def test_a_releaser_whose_key_was_withdrawn_releases_nothing(cell: Cell) -> None:
    scene = waiting_scene(cell)
    token, sealed = made(scene)
    kid = scene.member.admins[0].thumbprint(Purpose.ENDORSEMENT)
    acts.revoke(cell.ledger, scene.member.tenant, scene.member.admins, kid, "stolen")
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        handed_in(scene, token, sealed)


def test_what_is_in_the_operators_custody_waits_for_nobody(cell: Cell) -> None:
    member = cell.join()
    (execution,) = cell.place(member)
    cell.run(execution)
    assert cell.events(member, ReleaseAwaited) == []
    assert [one.released_by for one in cell.events(member, InputsReleased)] == ["custody: operator"]
    assert "statement" not in cell.events(member, InputsReleased)[0].payload()


def test_a_release_that_comes_too_late_for_a_run_is_refused(cell: Cell) -> None:
    scene = waiting_scene(cell)
    token, sealed = made(scene)
    (awaited,) = cell.events(scene.member, ReleaseAwaited)
    cell.clock.advance_to(awaited.until_ms)
    with cell.nothing_written(), pytest.raises(RefusedError, match="too late"):
        handed_in(scene, token, sealed)


def test_a_policy_that_changed_meanwhile_is_held_at_the_release(make_cell: MakeCell) -> None:
    cell = make_cell()
    scene = waiting_scene(cell)
    token, sealed = made(scene)
    scene.member.adopt({"kind": "nodes", "forbidden": [cell.node_of(scene.execution)]})
    answer = handed_in(scene, token, sealed)
    assert answer["released"] is False
    assert "nodes" in str(answer["reason"])
    gates = cell.events(scene.member, EnclaveProvisioned)
    assert [gate.passed for gate in gates] == [True, False]
    assert cell.events(scene.member, InputsReleased) == []
    (denied,) = cell.events(scene.member, WorkloadDenied)
    assert (denied.gate, denied.rule) == ("provisioning", "nodes")
    assert handed_in(scene, token, sealed) == answer
    cell.settle()
    assert cell.decider.state.live == {}


def test_a_node_credential_whose_issuer_is_gone_is_held_at_the_release(make_cell: MakeCell) -> None:
    cell = make_cell()
    scene = waiting_scene(cell)
    token, sealed = made(scene)
    root, fresh = acts.root_scope(cell.ledger), cell.wallet("other-issuer")
    governance.enrol_issuer(cell.ledger, root, [cell.root], fresh.did(Purpose.CREDENTIAL))
    root = acts.root_scope(cell.ledger)
    governance.revoke_issuer(cell.ledger, root, [cell.root], cell.root.did(Purpose.CREDENTIAL), "stolen")
    answer = handed_in(scene, token, sealed)
    assert answer["released"] is False
    assert cell.events(scene.member, InputsReleased) == []


def test_when_no_release_comes_the_attempts_end_and_no_place_is_lost(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join(own_custody=True)
    for attempt in (1, 2, 3):
        if attempt == 1:
            scene = waiting_scene(cell, member)
        else:
            (execution,) = cell.decider.state.live
            scene.node = type(scene.node)(cell, execution)
            scene.node.evidence()
        cell.advance(HOUR_MS)
    ended = cell.events(member, ExecutionAbandoned)
    assert [one.reason for one in ended] == ["release_expired"] * 3
    assert cell.events(member, WorkloadDenied) == []
    assert [one.kind for one in cell.events(member, ExecutionFaulted)] == [
        "release_awaited"
    ]  # held: governance decides
    assert cell.decider.state.live == {}
    for name in cell.nodes:
        assert cell.decider.state.signs.shortfalls.get(name) is None


def test_an_enclave_that_is_gone_while_its_release_is_waited_for_is_no_fault(make_cell: MakeCell) -> None:
    cell = make_cell()
    scene = waiting_scene(cell)
    lost = {
        "kind": "faulted", "fault": "node_lost", "detail": "gone", "fuel": 0, "memory_bytes": 0, "duration_ms": 0,
    }  # fmt: skip
    token, sealed = made(scene)
    assert scene.node.tell(lost).answer["accepted"]
    assert scene.node.tell({"kind": "reset"}).answer["accepted"]
    (ended,) = cell.events(scene.member, ExecutionAbandoned)
    assert (ended.reason, ended.report is None) == ("enclave_lost", False)
    assert cell.events(scene.member, ExecutionFaulted) == []
    with pytest.raises(RefusedError, match="waits for no release"):
        handed_in(scene, token, sealed)
    cell.settle()
    assert scene.execution not in cell.decider.state.live
    assert len(cell.decider.state.live) == 1  # placed again


def test_a_fault_that_a_node_claims_of_what_has_no_inputs_is_refused(cell: Cell) -> None:
    scene = waiting_scene(cell)
    claimed = {"kind": "faulted", "fault": "trap", "detail": "?", "fuel": 0, "memory_bytes": 0, "duration_ms": 0}
    assert not scene.node.tell(claimed).answer["accepted"]


def test_another_tenants_execution_is_none(cell: Cell) -> None:
    scene, other = waiting_scene(cell), cell.join(own_custody=True)
    for name in (scene.execution, "exec-0x" + "0" * 32, "nonsense", 7):
        with pytest.raises(UnknownError, match="there is no such execution of this tenant"):
            require_own(cell.ledger, other.log_id, name)
    assert offer(cell.ledger, require_own(cell.ledger, scene.member.log_id, scene.execution))


def test_two_tenants_never_share_a_key(cell: Cell) -> None:
    first = cell.join(own_custody=True)
    held = first.admins[0].custody()
    with pytest.raises(ConflictError):
        acts.register_tenant(
            cell.ledger, dao="Copycat", jurisdiction="DEU", admins=[cell.wallet("copycat")], root_admins=[cell.root],
            families=["UNDRR::Disaster::Flood"], resource_classes=["Disaster::Flood@v1"],
            custody=OwnCustody(held.release.public, cell.wallet("z", custody=True).custody().output.public),
        )  # fmt: skip


def test_independent_enclaves_each_get_their_own_release(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join(own_custody=True)
    member.adopt({"kind": "independent_attestations", "count": 2})
    names = cell.place(member, (FLOWS, THRESHOLD))
    drivers = [Driver(cell, name) for name in names]
    for driver in drivers:
        assert driver.evidence().answer["accepted"]
    cell.settle()
    scene = Scene(cell, member, names[0], drivers[0])
    assert scene.agent().once().released == 2, scene.told
    for driver in drivers:
        driver.started()
        assert driver.completed().answer["accepted"]
        driver.reset()
    cell.settle()
    assert cell.topics(member).count("cac.quorum_reached.v1") == 1


def test_after_a_fault_of_one_enclave_no_other_of_its_workload_gets_inputs(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join(own_custody=True)
    member.adopt({"kind": "independent_attestations", "count": 2})
    first, second = cell.place(member, (FLOWS, THRESHOLD))
    drivers = [Driver(cell, name) for name in (first, second)]
    for driver in drivers:
        driver.evidence()
    cell.settle()
    one, other = Scene(cell, member, first, drivers[0]), Scene(cell, member, second, drivers[1])
    token, sealed = made(other)
    handed_in(one, *made(one))
    drivers[0].started()
    drivers[0].tell({
        "kind": "faulted", "fault": "trap", "detail": "?", "fuel": 1, "memory_bytes": 1, "duration_ms": 1
    })  # fmt: skip
    with cell.nothing_written(), pytest.raises(RefusedError, match="held after a fault"):
        handed_in(other, token, sealed)
    cell.settle()
    assert second not in cell.decider.state.live


def test_a_tenant_whose_erasure_is_ordered_gets_no_inputs_released(make_cell: MakeCell) -> None:
    cell = make_cell()
    scene = waiting_scene(cell)
    token, sealed = made(scene)
    acts.order_erasure(cell.ledger, scene.member.tenant, scene.member.admins)
    with cell.nothing_written(), pytest.raises(RefusedError, match="erasure is ordered"):
        handed_in(scene, token, sealed)
    cell.settle()
    assert cell.decider.state.live == {}


def test_a_submission_that_names_no_or_another_output_key_is_refused(cell: Cell) -> None:
    member = cell.join(own_custody=True)
    content = SubmissionFile(
        inputs=(InputSource(text="x"), InputSource(text="x")), clause_id=FLOOD, resource_class=CLASS, bounds=BOUNDS
    )
    for wrong in (None, member.tenant.release_key):
        now_ms = cell.clock.now_ms()
        made_so = build_submission(
            content, (FLOWS, THRESHOLD), wallet=member.admins[0], workload=cell.ledger.ids.uuid(now_ms),
            origin=member.tenant.origin, release_key=member.tenant.release_key, output_key=wrong, now_ms=now_ms,
            entropy=ENTROPY,
        )  # fmt: skip
        with cell.nothing_written(), pytest.raises(RefusedError, match="output key"):
            submissions.submit(cell.ledger, member.tenant, made_so.token, made_so.ciphertexts)
