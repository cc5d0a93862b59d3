"""The load that nodes report is a filter: who asks for a calm node waits for one, and gets it when it is reported."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.identifiers import telemetry_stream
from domain.nodes.events import TelemetryReported
from domain.policies.kinds import NodeLoad, Policy
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.tenants.events import PolicyAdopted
from domain.workloads.events import WorkloadDeferred, WorkloadDenied, WorkloadPlaced
from tests.domain.cell import log_of
from tests.domain.samples import node
from tests.domain.test_silence import PLATFORM, A, B, Scene

MOST = {A: 31, B: None}
LOADS = (0, 1, 3, 5, 6, 7)


def scene() -> Scene:
    """Return three nodes of one slot, and a tenant that asks for nodes at most 31 percent busy."""
    cell = Scene()
    cell.begin()
    for name in ("n1", "n2", "n3"):
        cell.join(node(name, slots=1))
    policy = Policy(rules=(NodeLoad(kind="node_load", most_percent=31),))
    cell.record(A, log_of(A), PolicyAdopted(version=1, policy=policy, digest=policy.digest(), statements=()))
    cell.settle()
    return cell


def report(cell: Scene, name: str, load: int) -> None:
    """Record what a node says of its load, and decide."""
    free = 0 if cell.state.living.get(name) else 1
    event = TelemetryReported(
        node=name, seq=0, load_percent_bucket=load, free_slots=free, free_memory_bucket=0, report="r"
    )
    cell.record(PLATFORM, telemetry_stream(name), event)
    cell.settle()


def places(cell: Scene, slot: int) -> list[str]:
    """Return where a tenant's workloads were placed, in order."""
    return [event.places[0].node for event in cell.said(WorkloadPlaced, slot)]


def test_a_node_that_reports_nothing_or_too_much_does_not_qualify_and_the_wait_has_its_reason() -> None:
    cell = scene()
    report(cell, "n2", 6)
    cell.submit(1)
    assert places(cell, A) == []
    assert not cell.said(WorkloadDenied, A)
    (told,) = cell.said(WorkloadDeferred, A)
    assert (told.reason, told.rule, told.filtered) == ("no_node_now", "no_node_now", ())
    report(cell, "n3", 5)
    assert places(cell, A) == ["n3"]


def test_who_asks_for_no_load_goes_anywhere() -> None:
    cell = scene()
    report(cell, "n1", 7)
    cell.submit(1, B, dao="BetaDAO")
    assert len(places(cell, B)) == 1


def test_the_greatest_bucket_lies_wholly_below_what_is_asked() -> None:
    for most, bucket in ((1, 1), (2, 1), (3, 2), (30, 4), (31, 5), (50, 5), (63, 6), (99, 6)):
        cell = scene()
        policy = Policy(rules=(NodeLoad(kind="node_load", most_percent=most),))
        cell.record(A, log_of(A), PolicyAdopted(version=2, policy=policy, digest=policy.digest(), statements=()))
        report(cell, "n1", bucket + 1)
        cell.submit(1)
        assert places(cell, A) == []
        report(cell, "n1", bucket)
        assert places(cell, A) == ["n1"]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("report"), st.sampled_from(["n1", "n2", "n3"]), st.sampled_from(LOADS)),
        st.tuples(st.just("submit"), st.sampled_from([A, B]), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 9), st.just(0)),
    ),
    min_size=5, max_size=30,
)  # fmt: skip


@settings(max_examples=100)
@given(steps)
def test_nobody_is_placed_on_a_busier_node_and_nobody_waits_beside_a_calm_one(made: list[tuple[str, Any, int]]) -> None:
    cell = scene()
    loads: dict[str, int] = {}
    seen = 0
    for number, (step, which, value) in enumerate(made):
        if step == "report":
            loads[which] = value
            report(cell, which, value)
        elif step == "submit":
            cell.submit(number, which, dao="AlphaDAO" if which == A else "BetaDAO")
        elif cell.state.live:
            live = list(cell.state.live.values())[which % len(cell.state.live)]
            cell.run(live.queued.workload_id, live.slot, reset=True)
        placed = places(cell, A)
        assert all(loads.get(name, 7) <= 5 for name in placed[seen:])
        seen = len(placed)
        free = [name for name in ("n1", "n2", "n3") if not cell.state.living.get(name)]
        waiting = {slot for slot, _ in cell.state.waiting}
        assert not (A in waiting and any(loads.get(name, 7) <= 5 for name in free))
        assert not (B in waiting and free)
        again = Scheduling.load(cell.state.dump())
        assert again.digest() == cell.state.digest()
        assert next_act(again, "e" * 64) == ()
