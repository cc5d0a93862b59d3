"""Whoever an order calls next is whom a plain minimum over all its classes would, whatever shares have become."""

from itertools import count
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.scheduling.classes import WorkClass
from domain.scheduling.fairness import Order, turn_of
from domain.scheduling.quotas import QuotaTree
from domain.scheduling.tables import Quota

TENANTS, SCOPES = 6, (10, 11, 12)
ABOVE = {0: None, 1: 10, 2: 10, 3: 11, 4: 11, 5: 12, 10: None, 11: 10, 12: None}

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, TENANTS - 1), st.integers(0, 40)),
        st.tuples(st.just("remove"), st.integers(0, 60), st.just(0)),
        st.tuples(st.just("use"), st.integers(0, TENANTS - 1), st.integers(-3, 3)),
        st.tuples(st.just("later"), st.integers(0, 60), st.integers(1, 9)),
        st.tuples(st.just("sooner"), st.integers(0, 60), st.integers(1, 9)),
        st.tuples(st.just("weigh"), st.integers(0, TENANTS - 1), st.integers(1, 4)),
        st.tuples(st.just("burst"), st.integers(0, TENANTS - 1), st.integers(200, 300)),
    ),
    min_size=8,
    max_size=60,
)


def tree_of() -> QuotaTree:
    """Return a tree with tenants at three depths."""
    tree = QuotaTree()
    for slot, above in ABOVE.items():
        tree.hang(slot, above)
    tree.resize(50, 0)
    for slot in range(TENANTS):
        tree.use(tree.of(slot), 1 + slot, 0)
    return tree


class Cell:
    """A tree and an order, and what is in it."""

    def __init__(self) -> None:
        self.tree, self.order = tree_of(), Order()
        self.inside: list[WorkClass] = []
        self.numbers = count()

    def add(self, which: int, arrived: int) -> None:
        """Add a class of a tenant."""
        head, number = SimpleNamespace(arrived=arrived), next(self.numbers)
        work: Any = SimpleNamespace(account=self.tree.of(which), number=number, head=head, order=None)
        self.order.add(cast("WorkClass", work))
        self.inside.append(work)

    def use(self, which: int, slots: int) -> None:
        """Use more or less."""
        account = self.tree.of(which)
        self.tree.use(account, max(slots, -account.used[0]), 0)

    def weigh(self, which: int, weight: int) -> None:
        """Grant another weight."""
        self.tree.grant(which, Quota(1, None, None, weight))

    def burst(self, which: int, times: int) -> None:
        """Move a share to and fro, more often than the tree remembers."""
        for _ in range(times):
            self.use(which, 1)
            self.use(which, -1)

    def remove(self, which: int, _: int) -> None:
        """Let a class go."""
        if self.inside:
            self.order.remove(self.inside.pop(which % len(self.inside)))

    def later(self, which: int, by: int) -> None:
        """Let the head of a class be one that came later."""
        if self.inside:
            work = self.inside[which % len(self.inside)]
            work.head.arrived += by
            self.order.changed(work)

    def sooner(self, which: int, by: int) -> None:
        """Let it be one that came sooner."""
        if self.inside:
            work = self.inside[which % len(self.inside)]
            work.head.arrived -= by
            self.order.push(work)


@settings(max_examples=200)
@given(steps)
def test_the_next_is_the_least_whatever_was_added_used_and_given_back(made: list[tuple[str, int, int]]) -> None:
    cell = Cell()
    for step, which, value in (*(("add", slot, slot) for slot in range(TENANTS)), *made):
        getattr(cell, step)(which, value)
        found = cell.order.best()
        assert (found is None) == (not cell.inside)
        if found is not None:
            assert found[0] == min(turn_of(one) for one in cell.inside) == turn_of(found[1])
