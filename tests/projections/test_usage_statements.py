"""Statements of usage: sums equal those of the raw events to the unit, and any split of a period sums to the whole."""

from functools import reduce
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cacs.events import UsageMetered
from domain.canonical import MAX_INTEGER, canonical
from domain.errors import MalformedError
from domain.message import Recorded
from domain.usage.statements import Line, Sums, UsageStatement, read_statement, statement
from projections import usage
from tests.domain import samples

AMOUNTS = ("slot_ms", "memory_mib_ms", "fuel", "tokens", "bytes_in", "bytes_out")
amount = st.one_of(st.integers(0, 9), st.integers(MAX_INTEGER - 3, MAX_INTEGER))
metered: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict, execution_id=st.just(samples.EXECUTION), node=st.sampled_from(["n1", "n2", None]),
    operator=st.sampled_from(["OpA", "OpB", None]), slot_ms=amount, memory_mib_ms=amount, fuel=amount,
    tokens=st.none() | amount, bytes_in=st.none() | amount, bytes_out=st.none() | amount,
)  # fmt: skip
histories = st.lists(st.tuples(st.integers(0, 60), st.booleans(), metered), max_size=80)
"""Instants that may fall, whether something else stands there, and what was metered."""


def history_of(drawn: list[tuple[int, bool, dict[str, Any]]]) -> list[Recorded]:
    return [
        samples.recorded(samples.queued() if other else UsageMetered(**members), leaf=leaf, at_ms=at_ms)
        for leaf, (at_ms, other, members) in enumerate(drawn)
    ]


def rows_of(history: list[Recorded]) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for recorded in history:
        changed = usage.project(rows, recorded)
        for row in changed.values():
            canonical(row)  # what the database keeps
        rows |= changed
    return rows


def stated(rows: dict[str, dict[str, Any]], from_ms: int, to_ms: int, size: int = 1_000) -> UsageStatement:
    kept = [row for key, row in sorted(rows.items()) if key.startswith("at/")]
    lines = list(usage.within(kept, from_ms, to_ms))
    return statement(lines, origin="h/t/1", tenant="A/DEU", period=(from_ms, to_ms), size=size, root=bytes(32))


def slowly(history: list[Recorded], from_ms: int, to_ms: int) -> dict[str, Any]:
    """Sum raw events up in another way: each by itself, looking back over all that was metered before it."""
    found: dict[str, Any] = {"executions": 0, **dict.fromkeys(AMOUNTS, 0), "leaves": []}
    for at, recorded in enumerate(history):
        before = [one.at_ms for one in history[: at + 1] if isinstance(one.event, UsageMetered)]
        if isinstance(recorded.event, UsageMetered) and from_ms <= max(before) < to_ms:
            found["executions"] += 1
            found["leaves"].append((recorded.leaf_index, recorded.leaf_hash.hex()))
            for name in AMOUNTS:
                found[name] += recorded.event.payload().get(name, 0)
    return found


@given(histories, st.lists(st.integers(0, 70), min_size=2, max_size=6, unique=True).map(sorted))
def test_sums_are_those_of_the_raw_events_and_any_split_sums_to_the_whole(
    drawn: list[tuple[int, bool, dict[str, Any]]], cuts: list[int]
) -> None:
    history = history_of(drawn)
    rows = rows_of(history)
    whole = stated(rows, cuts[0], cuts[-1])
    slow = slowly(history, cuts[0], cuts[-1])
    assert [(line.leaf_index, line.leaf_hash) for line in whole.lines] == slow.pop("leaves")
    assert whole.totals.model_dump() == slow
    parts = [stated(rows, *part) for part in pairwise(cuts)]
    assert reduce(Sums.plus, (part.totals for part in parts)) == whole.totals
    assert tuple(line for part in parts for line in part.lines) == whole.lines
    for name in AMOUNTS:
        for groups in (whole.nodes, whole.operators):
            assert sum(getattr(one, name) for one in groups) == getattr(whole.totals, name)


@given(histories)
def test_everything_ever_is_in_all_days_and_by_node(drawn: list[tuple[int, bool, dict[str, Any]]]) -> None:
    rows = rows_of(history_of(drawn))
    whole = stated(rows, 0, 1_000)
    assert usage.total(rows) == whole.totals
    by_node = [usage.sums_of(row) for key, row in rows.items() if key.startswith("node/")]
    assert reduce(Sums.plus, by_node, Sums()) == whole.totals
    assert reduce(Sums.plus, (sums for _, sums in usage.days(rows)), Sums()) == whole.totals


@given(histories)
def test_what_is_printed_is_read_again(drawn: list[tuple[int, bool, dict[str, Any]]]) -> None:
    whole = stated(rows_of(history_of(drawn)), 0, 1_000)
    assert read_statement(canonical(whole.model_dump(mode="json"))) == whole


LINE = Line(
    leaf_index=3, leaf_hash="0" * 64, at_ms=5, execution=samples.EXECUTION, node="n1", operator="OpA", slot_ms=1,
    memory_mib_ms=2, fuel=3, tokens=4, bytes_in=5, bytes_out=6,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"totals": {**Sums(executions=1, slot_ms=2).model_dump()}}, "totals are not the sums"),
        ({"nodes": []}, "by node or operator"), ({"operators": []}, "by node or operator"),
        ({"lines": []}, "totals are not"), ({"lines": [LINE.model_dump()] * 2}, "in leaf order, each once"),
        ({"size": 3}, "within the tree"), ({"to_ms": 5}, "outside of the period"), ({"from_ms": 6}, "outside"),
        ({"from_ms": 9, "to_ms": 9}, "ends after it begins"), ({"more": 1}, "more"), ({"format": "x"}, "format"),
        ({"lines": [{**LINE.model_dump(), "fuel": 3.0}]}, "fuel"), ({"root": "x"}, "root"),
        ({"lines": [{**LINE.model_dump(), "fuel": -1}]}, "fuel"), ({"lines": [{**LINE.model_dump(), "x": 1}]}, "x"),
        ({"totals": {**LINE.sums.model_dump(), "fuel": "3"}}, "fuel"),
    ],
)  # fmt: skip
def test_a_statement_that_does_not_add_up_or_has_another_form_is_refused(changes: dict[str, Any], named: str) -> None:
    good = statement([LINE], origin="h/t/1", tenant="A/DEU", period=(0, 9), size=4, root=bytes(32))
    members = good.model_dump(mode="json")
    assert read_statement(canonical(members)) == good
    with pytest.raises(MalformedError, match=named):
        read_statement(orjson.dumps({**members, **changes}))
