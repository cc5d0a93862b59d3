"""A policy that a restore took back is not decided on, though another one has its version since."""

import json
from pathlib import Path

import pytest

from domain.executions.events import EnclaveProvisioned
from domain.message import Event
from domain.policies.kinds import Policy
from infrastructure.client import acts
from infrastructure.commands.context import load_context
from infrastructure.commands.executions import report
from infrastructure.commands.loading import load_tenant
from tests.commands.cell import another_process, founded
from tests.commands.driver import Driver
from tests.database import TestServer
from tests.restoring import Restorable


class Nobody:
    """Nothing lives on any node; it is known without asking the database."""

    def residents(self, _: str, *, without: str = "") -> tuple[()]:
        assert without
        return ()


def allowing(node: str) -> Policy:
    return Policy.model_validate_json(json.dumps({"rules": [{"kind": "nodes", "allowed": [node]}]}))


@pytest.mark.parametrize("others", [1, 2])
def test_evidence_is_judged_by_the_policy_of_now_after_a_restore(
    postgres: TestServer, tmp_path: Path, others: int
) -> None:
    with postgres.database() as name:
        cell = founded(tmp_path, postgres.conninfo(name))
        member = cell.join()
        (execution,) = cell.place(member)
        driver, node = Driver(cell, execution), cell.node_of(execution)
        driver.assign()
        restorable = Restorable(postgres, name)
        restorable.backup()
        acts.adopt_policy(cell.ledger, member.tenant, member.admins[: member.tenant.threshold], allowing(node))
        load_context(cell.ledger, execution)  # as a node's question does
        restorable.restore()
        with another_process(cell) as process:
            for _ in range(others):
                tenant = load_tenant(process, member.log_id)
                acts.adopt_policy(process, tenant, member.admins[: tenant.threshold], allowing("elsewhere"))
            answer = report(cell.ledger, Nobody(), driver.token(driver.evidence_claims()))
            stream = answer.recorded[0].stream_id
            stored: list[Event] = [one.event for one in process.stream(member.log_id, stream)]
        (gate,) = [event for event in stored if isinstance(event, EnclaveProvisioned)]
        assert (gate.passed, gate.rule) == (False, "nodes")
        cell.close()
