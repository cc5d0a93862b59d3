"""A tenant's results in the order of its log, to be pulled from a place on or delivered; and how deliveries stand.

Invariants:
- Pure, as every projection. One row for each entry that issues or overturns a CAC, named by its leaf index: who goes on
  after a leaf index misses nothing and gets nothing twice.
"""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any, Final

from domain.cacs.events import CacIssued, CacOverturned
from domain.message import Event, Recorded
from domain.subscriptions.events import ResultDelivered, SubscriptionEnded, SubscriptionLapsed, SubscriptionOpened

NAME: Final = "results_v1"
_LEAF_DIGITS: Final = 16

Row = dict[str, Any]
Rows = Mapping[str, Row]


def project(rows: Rows, recorded: Recorded) -> dict[str, Row]:
    """Return the rows that an event changes, by key (`leaf/<leaf index>`, `cac/<id>`, `subscription/<id>`)."""
    return _project(recorded.event, recorded, rows)


def key_of(leaf_index: int) -> str:
    """Return the key of an entry's row."""
    return f"leaf/{leaf_index:0{_LEAF_DIGITS}d}"


LAST_KEY: Final = "leaf/" + "9" * _LEAF_DIGITS


@singledispatch
def _project(event: Event, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001 - nothing to note
    return {}


@_project.register
def _(event: CacIssued, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001
    told = {
        "clause_id": event.document["clause_id"],
        "resource_class": event.document["tenant_info"]["resource_class"],
        "outcome": event.document["outcome"],
    }
    return {f"cac/{event.cac_id}": told, key_of(recorded.leaf_index): _result(recorded, event.cac_id, told)}


@_project.register
def _(event: CacOverturned, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return {key_of(recorded.leaf_index): _result(recorded, event.cac_id, rows[f"cac/{event.cac_id}"])}


@_project.register
def _(event: SubscriptionOpened, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001
    row: Row = {
        "subscription": event.subscription_id,
        **event.wanted.model_dump(mode="json"),
        "after": event.after,
        "opened_at_ms": recorded.at_ms,
        "status": "open",
        "delivered": 0,
        "last_leaf_index": None,
        "last_at_ms": None,
        "last_tries": None,
        "version": -1,
    }
    return {f"subscription/{event.subscription_id}": row}


@_project.register
def _(event: SubscriptionEnded, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001
    return _changed(rows, event.subscription_id, {"status": "ended"})


@_project.register
def _(event: ResultDelivered, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    before = rows[f"subscription/{event.subscription_id}"]
    return _changed(
        rows,
        event.subscription_id,
        {
            "delivered": before["delivered"] + 1,
            "last_leaf_index": event.leaf_index,
            "last_at_ms": recorded.at_ms,
            "last_tries": event.tries,
            "version": recorded.version,
        },
    )


@_project.register
def _(event: SubscriptionLapsed, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    ended = rows[f"subscription/{event.subscription_id}"]["status"] == "ended"
    status = {} if ended else {"status": "lapsed"}
    return _changed(rows, event.subscription_id, {**status, "version": recorded.version})


def _result(recorded: Recorded, cac_id: str, told: Row) -> Row:
    return {**told, "cac": cac_id, "leaf_index": recorded.leaf_index, "at_ms": recorded.at_ms}


def _changed(rows: Rows, subscription_id: str, changes: Row) -> dict[str, Row]:
    key = f"subscription/{subscription_id}"
    return {key: {**rows[key], **changes}}
