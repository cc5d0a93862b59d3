"""The tree of quotas: what is granted below a limit never sums to more than it, whatever lies in between."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.quotas.events import Quota
from domain.quotas.tree import Holder, Oversubscribed, Quotas, concerned, limits_above, oversubscribed

amounts = st.none() | st.integers(0, 6).map(lambda nominal: Quota(nominal=nominal))


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Holder]:
    """Draw a tree of up to nine nodes, each below an earlier one; the root is `0`."""
    tree: dict[str, Holder] = {}
    for number in range(draw(st.integers(1, 9))):
        parent = str(draw(st.integers(0, number - 1))) if number else ""
        quotas = Quotas(draw(amounts), draw(amounts))
        tree[str(number)] = Holder(str(number), f"n{number}", parent, quotas)
    return tree


def below(tree: dict[str, Holder], origin: str) -> set[str]:
    """Return every node below one, in the plainest way."""
    found = {child for child, holder in tree.items() if holder.parent == origin}
    return found | {deeper for child in found for deeper in below(tree, child)}


def nearest(tree: dict[str, Holder], origin: str, resource: Any) -> str | None:
    """Return the nearest node above that has a limit."""
    parent = tree[origin].parent
    if not parent or tree[parent].quotas.of(resource) is not None:
        return parent or None
    return nearest(tree, parent, resource)


def exceeded(tree: dict[str, Holder], resource: Any) -> set[str]:
    """Return every node whose limit what is granted right below it exceeds."""
    found = set()
    for origin, holder in tree.items():
        quota = holder.quotas.of(resource)
        mine = [tree[one].quotas.of(resource) for one in below(tree, origin) if nearest(tree, one, resource) == origin]
        if quota is not None and sum(one.nominal for one in mine if one is not None) > quota.nominal:
            found.add(origin)
    return found


@given(trees(), st.data())
def test_a_grant_is_refused_exactly_where_a_naive_count_finds_a_limit_exceeded(
    tree: dict[str, Holder], data: st.DataObject
) -> None:
    origin = data.draw(st.sampled_from(sorted(tree)))
    found = {(over.resource, over.above.origin) for over in oversubscribed(tree, origin)}
    for resource in ("slots", "memory_bytes"):
        touched = {origin, nearest(tree, origin, resource)}
        assert {who for what, who in found if what == resource} == exceeded(tree, resource) & touched


@given(trees(), st.data())
def test_a_tree_in_which_every_grant_was_checked_is_never_oversubscribed(
    tree: dict[str, Holder], data: st.DataObject
) -> None:
    granted = {name: Holder(name, name, holder.parent, Quotas()) for name, holder in tree.items()}
    for name in data.draw(st.lists(st.sampled_from(sorted(tree)), max_size=20)):
        asked = Quotas(data.draw(amounts), data.draw(amounts))
        after = {**granted, name: Holder(name, name, tree[name].parent, asked)}
        if not oversubscribed(after, name):
            granted = after
        assert not exceeded(granted, "slots") | exceeded(granted, "memory_bytes")


@given(trees(), st.data())
def test_a_verdict_rests_on_nobody_but_those_who_are_guarded(tree: dict[str, Holder], data: st.DataObject) -> None:
    origin = data.draw(st.sampled_from(sorted(tree)))
    guarded = concerned(tree, origin) | {origin}
    others = data.draw(st.fixed_dictionaries({name: st.tuples(amounts, amounts) for name in sorted(tree)}))
    changed = {
        name: holder if name in guarded else Holder(name, name, holder.parent, Quotas(*others[name]))
        for name, holder in tree.items()
    }
    assert oversubscribed(changed, origin) == oversubscribed(tree, origin)


def test_limits_above_are_told_nearest_first_and_a_circle_ends() -> None:
    limited = Quotas(slots=Quota(nominal=3))
    tree = {
        "0": Holder("0", "root", "", limited),
        "1": Holder("1", "t", "0", Quotas()),
        "2": Holder("2", "j", "1", limited),
    }
    tree["3"] = Holder("3", "dao", "2", Quotas(slots=Quota(nominal=4)))
    assert [holder.origin for holder in limits_above(tree, "3", "slots")] == ["2", "0"]
    assert oversubscribed(tree, "3") == (Oversubscribed("slots", tree["2"], 3, 4),)
    circle = {"a": Holder("a", "a", "b", Quotas()), "b": Holder("b", "b", "a", limited)}
    assert [holder.origin for holder in limits_above(circle, "a", "slots")] == ["b"]
