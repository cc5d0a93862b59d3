"""Lists of quotas and usage: sums are those of what lives and of what was metered, and rows follow the tree."""

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from domain.cacs.events import UsageMetered
from domain.quotas.events import Quota, QuotaGranted
from domain.scheduling.state import Scheduling
from domain.tenants.events import ScopeRegisteredBelow
from domain.tenants.state import Tenant, evolve
from domain.time import DAY_MS
from domain.usage.statements import Sums
from projections import usage
from projections.quotas import quotas
from tests.domain import samples
from tests.domain.cell import Cell
from tests.domain.samples import node
from tests.domain.test_scheduling_cases import A, B, submit


def granted(one: Tenant, **changes: Any) -> Tenant:
    """Return a tenant or scope with a grant."""
    usual: dict[str, Any] = {
        "version": 1, "slots": None, "memory_bytes": None, "weight": 1, "granted_by": "x", "statements": (),
    }  # fmt: skip
    return evolve(QuotaGranted(**{**usual, **changes}), one)


def people() -> list[Tenant]:
    """Return a root, a treaty below it, tenant A below the treaty and tenant B below the root."""
    root = evolve(samples.scope_registered(slot=3, origin="h/t/3"), None)
    treaty = evolve(
        ScopeRegisteredBelow(
            **samples.scope_registered(slot=2, origin="h/t/2", name="Rhine").payload()
            | {"admins": (samples.admin(),), "acceptances": (), "issuers": ()},
            kind="treaty", parent="h/t/3", endorsements=(),
        ),
        None,
    )  # fmt: skip
    a = evolve(samples.tenant_registered(slot=A, origin=f"h/t/{A}", parent="h/t/2"), None)
    b = evolve(samples.tenant_registered(slot=B, origin=f"h/t/{B}", parent="h/t/3"), None)
    return [b, a, root, treaty]


def test_the_tree_shows_what_is_granted_used_and_borrowed_at_every_node() -> None:
    cell = Cell().begin()
    cell.join(node("n1", slots=8, memory_bytes=1 << 40))
    for number in range(3):
        submit(cell, number, A)
    submit(cell, 9, B, dao="OtherDAO")
    b, a, root, treaty = people()
    a = granted(a, slots=Quota(nominal=2, borrow=4), weight=7)
    treaty = granted(treaty, slots=Quota(nominal=2, lend=2))
    rows = quotas(cell.state, [b, a, root, treaty])
    assert [(row["slot"], row["depth"], row["above"], row["kind"]) for row in rows] == [
        (3, 0, None, "root"), (2, 1, 3, "treaty"), (A, 2, 2, "tenant"), (B, 1, 3, "tenant"),
    ]  # fmt: skip
    assert {row["slot"]: row["slots"]["used"] for row in rows} == {3: 4, 2: 3, A: 3, B: 1}
    assert all(row[name]["borrowed"] == row[name]["lent"] == 0 for row in rows for name in ("slots", "memory_bytes"))
    assert [row["memory_bytes"]["used"] for row in rows] == [
        count * samples.BOUNDS.memory_bytes for count in (4, 3, 3, 1)
    ]
    assert rows[2]["weight"] == 7
    assert [row["name"] for row in rows] == ["root", "Rhine", None, None]


def test_open_borrowings_are_shown_on_both_sides_once_for_each_attempt() -> None:
    queued = samples.queued()
    loan = SimpleNamespace(lender=2, slots=3, memory_bytes=5)

    def live(slot: int, attempt: int, borrow: object) -> SimpleNamespace:
        again = queued.model_copy(update={"attempt": attempt})
        return SimpleNamespace(slot=slot, key=(slot, queued.workload_id), queued=again, borrow=borrow)

    lives = {"e0": live(A, 1, loan), "e1": live(A, 1, loan), "e2": live(A, 2, loan), "e3": live(B, 1, None)}
    rows = {row["slot"]: row for row in quotas(cast("Scheduling", SimpleNamespace(live=lives)), people())}
    found = {slot: (row["slots"]["borrowed"], row["memory_bytes"]["lent"]) for slot, row in rows.items()}
    assert found == {3: (0, 0), 2: (0, 10), A: (6, 0), B: (0, 0)}


def test_a_tenant_whose_scope_can_not_be_read_stands_at_the_top() -> None:
    _, a, root, _ = people()
    rows = quotas(Scheduling(), [a, root])
    assert [(row["slot"], row["depth"], row["above"]) for row in rows] == [(3, 0, None), (A, 0, None)]
    assert quotas(Scheduling(), []) == []


metered = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=20)


@given(metered)
def test_usage_is_the_sum_of_what_was_metered_in_all_and_by_day(given_: list[tuple[int, int, int, int]]) -> None:
    rows: dict[str, dict[str, Any]] = {}
    for number, (day, slot_ms, memory, fuel) in enumerate(given_):
        event = UsageMetered(execution_id=samples.EXECUTION, slot_ms=slot_ms, memory_mib_ms=memory, fuel=fuel)
        rows |= usage.project(rows, samples.recorded(event, at_ms=day * DAY_MS, leaf=number))
    assert usage.total(rows) == Sums(
        executions=len(given_), slot_ms=sum(one[1] for one in given_),
        memory_mib_ms=sum(one[2] for one in given_), fuel=sum(one[3] for one in given_),
    )  # fmt: skip
    days = usage.days(rows)
    highest = [max(one[0] for one in given_[: at + 1]) for at in range(len(given_))]
    assert [day for day, _ in days] == [f"1970-01-0{day + 1}" for day in sorted(set(highest))]
    assert sum(sums.fuel for _, sums in days) == usage.total(rows).fuel


def test_nothing_else_counts_as_usage() -> None:
    assert usage.project({}, samples.recorded(samples.queued())) == {}
    assert usage.total({}).executions == 0
    assert usage.days({}) == []
