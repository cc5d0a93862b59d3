"""From submission to CAC; and everything on the way that must be refused, recorded or repeated safely."""

from domain.cacs.events import CacIssued
from tests.commands.cell import Cell
from tests.commands.driver import Driver

LIFE = [
    "workload.submitted.v1", "workload.credential_checked.v1", "workload.clause_verified.v1", "workload.queued.v1",
    "workload.placed.v1", "execution.reserved.v1", "execution.challenged.v1", "execution.evidence_appraised.v1",
    "execution.enclave_provisioned.v1", "execution.inputs_released.v1", "execution.enclave_started.v1",
    "execution.completed.v1", "execution.runtime_reset.v1", "usage.metered.v1", "cac.issued.v1",
]  # fmt: skip


def test_a_workload_goes_from_submission_to_a_cac_in_its_own_log_only(cell: Cell) -> None:
    member = cell.join()
    first = len(cell.history(member))
    with cell.only_written_to(member):
        workload = cell.submit(member)
        cell.settle()
        (execution,) = cell.executions(member, workload)
        cell.run(execution)
    assert cell.topics(member)[first:] == LIFE
    (issued,) = cell.events(member, CacIssued)
    document = issued.document
    assert document["outcome"] == "ESCALATE"
    assert document["workload"] == workload
    assert document["tenant_info"] == {
        "dao": member.tenant.dao, "jurisdiction": "DEU", "resource_class": "Disaster::Flood@v1",
        "workload_id": execution,
    }  # fmt: skip
    assert document["output_address"] == f"{member.tenant.origin}/cac/{issued.cac_id}"
    assert execution not in cell.decider.state.live


def test_a_node_in_the_test_goes_the_same_way(cell: Cell) -> None:
    member = cell.join()
    (execution,) = cell.place(member)
    Driver(cell, execution).whole()
    assert cell.topics(member)[-1] == "cac.issued.v1"
    cell.settle()
    assert execution not in cell.decider.state.live
