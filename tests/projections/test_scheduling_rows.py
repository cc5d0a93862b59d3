"""The operator's view of queue and nodes is the scheduler's own state."""

from domain.scheduling.state import Scheduling
from projections.scheduling import nodes, nodes_for_tenants, queue
from tests.domain.cell import Cell
from tests.domain.samples import node
from tests.domain.test_scheduling_cases import A, B, submit


def test_queue_and_nodes_show_who_waits_in_order_and_what_is_free() -> None:
    cell = Cell().begin()
    cell.join(node("n1", slots=1))
    cell.join(node("n2", slots=1, country="FRA"))
    cell.drain("n2")
    submit(cell, 1)
    submit(cell, 2, A, resource_class="Planning::P@v1")
    submit(cell, 3, B, dao="OtherDAO")
    cell.settle()
    state = cell.state
    assert [(row["slot"], row["level"], row["deferred"]) for row in queue(state)] == [(B, 0, True), (A, 2, True)]
    shown = {row["node"]: (row["free_slots"], row["drained"], row["country"]) for row in nodes(state)}
    assert shown == {"n1": (0, False, "DEU"), "n2": (1, True, "FRA")}


def test_a_tenant_sees_of_nodes_their_facts_and_that_one_is_in_doubt_but_not_what_others_showed_of_it() -> None:
    cell = Cell().begin()
    for name in ("calm", "lost", "false", "silent"):
        cell.join(node(name))
    cell.settle()
    signs = cell.state.signs
    signs.heard["calm"], signs.silent["silent"], signs.lost["lost"] = 0, 0, 0
    signs.doubted.add("false")
    shown = nodes_for_tenants(cell.state)
    assert {row["node"]: row["standing"] for row in shown} == {
        "calm": "in service", "false": "in doubt", "lost": "lost", "silent": "in doubt",
    }  # fmt: skip
    told = {"free_slots", "free_memory_bytes", "load_percent_bucket"}
    assert all(told.isdisjoint(row) and row["country"] == "DEU" for row in shown)


def test_an_empty_history_has_no_rows() -> None:
    assert queue(Scheduling()) == [] == nodes(Scheduling())
