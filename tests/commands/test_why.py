"""What `why` says of a workload that waits, from a whole cell."""

from infrastructure.explaining import explain
from tests.commands.cell import Cell

TINY = {"kind": "nodes", "allowed": ["tiny"]}
REPEATING = "UNDRR::Disaster::Flood@1.1.0"


def test_a_clause_that_repeats_the_tenants_policy_waits_for_what_its_class_was_told(cell: Cell) -> None:
    cell.enrol("tiny", slots=1)
    cell.register(REPEATING, "flood", inputs=2, policies=[TINY])
    member = cell.join()
    member.adopt(TINY)
    cell.place(member)
    first, second = cell.submit(member), cell.submit(member, clause_id=REPEATING)
    cell.settle()
    told = [explain(cell.ledger, workload)["waiting"] for workload in (first, second)]
    assert [one["reason"] for one in told] == ["no_node_now", "no_node_now"]
    assert [one["place"] for one in told] == [1, 2]
    assert told[0]["leaf_index"] == told[1]["leaf_index"]
