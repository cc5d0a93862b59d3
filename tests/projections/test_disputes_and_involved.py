"""Disputes of a scope as rows; and what ran where, in rows of a few that instants lead to."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.disputes.events import DisputeReferenced
from domain.message import Event
from projections import disputes, involved
from tests.domain import samples
from tests.domain.samples import CAC, DISPUTE, NOW, SAMPLES_BY_TOPIC, SLOT, recorded

Rows = dict[str, Any]


def folded(*events: Event) -> Rows:
    """Fold a dispute's events."""
    rows: Rows = {}
    for leaf, event in enumerate(events):
        rows |= disputes.project(rows, recorded(event, leaf, at_ms=NOW + leaf))
    return rows


def sample(topic: str) -> Event:
    """Return a topic's sample."""
    return SAMPLES_BY_TOPIC[f"dispute.{topic}.v1"]


def test_a_disputes_row_tells_its_life() -> None:
    opened = folded(samples.disputed())[f"dispute/{DISPUTE}"]
    assert (opened["status"], opened["answers"], opened["evidence"], opened["opened_at_ms"]) == ("open", [], 0, NOW)
    assert [one["slot"] for one in opened["affected"]] == [SLOT]
    more = folded(samples.disputed(), sample("answered"), sample("evidence_attached"), sample("evidence_attached"))
    row = more[f"dispute/{DISPUTE}"]
    assert (row["evidence"], row["leaf_index"]) == (2, 3)
    assert row["answers"] == [{"by": {"role": "operator", "name": "op-node-a"}, "text": "it was read twice"}]
    for topic, reason, cacs in (
        ("upheld", "the readings agree", []), ("overturned", "they differ", [CAC]), ("withdrawn", "settled", []),
    ):  # fmt: skip
        row = folded(samples.disputed(), sample(topic))[f"dispute/{DISPUTE}"]
        assert (row["status"], row["reason"], row["overturned"]) == (topic, reason, cacs)


def test_a_tenants_log_refers_to_a_dispute_by_its_executions() -> None:
    other = DisputeReferenced(dispute_id=DISPUTE, execution_id="exec-0x" + "2" * 32)
    rows = folded(sample("referenced"), other)
    assert rows == {
        f"reference/{DISPUTE}": {
            "dispute": DISPUTE, "executions": [samples.EXECUTION, other.execution_id], "leaf_index": 1,
            "at_ms": NOW + 1,
        },
        disputes.key_of(NOW, DISPUTE): {"dispute": DISPUTE, "opened_at_ms": NOW},
    }  # fmt: skip


def test_a_party_is_known_by_what_it_has_open() -> None:
    first = samples.disputed()
    ids = [DISPUTE, *(DISPUTE[:-1] + digit for digit in "ab")]
    assert len(set(ids)) == 3
    opened = [first.model_copy(update={"dispute_id": one}) for one in ids]
    by = (first.party.role, first.party.name)

    def of(rows: Rows, now_ms: int, role: str = by[0], name: str = by[1]) -> int:
        return disputes.opened_by(rows.get(disputes.open_key(*by)), role, name, now_ms)

    assert of({}, NOW) == 0
    rows = folded(*opened)
    assert (of(rows, NOW), of(rows, first.decide_by_ms), of(rows, NOW, "resolver")) == (3, 0, 0)
    for topic in ("upheld", "overturned", "withdrawn"):
        assert of(folded(*opened, sample(topic)), NOW) == 2
    assert of(folded(*opened, sample("answered"), sample("evidence_attached")), NOW) == 3
    late = recorded(sample("withdrawn"), 9, at_ms=first.decide_by_ms)
    assert disputes.project(rows, late)[disputes.open_key(*by)] == {"open": {}}, "what can't be decided is forgotten"
    keys = sorted(key for key in rows if key.startswith("opened/"))
    assert [rows[key]["dispute"] for key in keys] == ids


def test_other_events_change_nothing() -> None:
    for event in SAMPLES_BY_TOPIC.values():
        if not event.TOPIC.startswith("dispute."):
            assert disputes.project({}, recorded(event)) == {}
        if event.TOPIC != "execution.reserved.v1":
            assert involved.project({}, recorded(event)) == {}


@given(st.lists(st.integers(0, 40), max_size=150), st.integers(0, 45), st.integers(0, 45))
def test_every_execution_is_found_by_its_instant_in_the_rows_that_keys_lead_to(
    steps: list[int], first: int, last: int
) -> None:
    """As SQL reads them: keys in [first, last) and the one before. Instants that fall count as the highest before."""
    rows: Rows = {}
    expected, highest = [], 0
    for leaf, at_ms in enumerate(steps):
        event = samples.reserved(execution_id=f"exec-0x{leaf:032x}")
        rows |= involved.project(rows, recorded(event, leaf, at_ms=at_ms))
        highest = max(highest, at_ms)
        if first <= highest < last:
            expected.append(event.execution_id)
    keys = sorted(key for key in rows if key.startswith("at/"))
    before = [key for key in keys if key < involved.key_from(first)][-1:]
    inside = [key for key in keys if involved.key_from(first) <= key < involved.key_from(last)]
    found = involved.within((rows[key] for key in [*before, *inside]), first, last)
    assert [one["execution"] for one in found] == expected
    assert all(len(rows[key]["executions"]) <= involved.CHUNK for key in keys)
