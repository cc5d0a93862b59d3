"""The disputes of a scope, as its own log tells them; of a tenant, which ones its log refers to.

Beside each lies a small row that is named by the instant, so that a page is read without all others; and who has which
open, in rows of several parties.

Invariants:
- Pure, as every projection. An affected tenant is there by its slot. No row is named by who is in it.
"""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any, Final

from domain.disputes import events as disputes
from domain.hashing import sha256_hex
from domain.message import Event, Recorded

NAME: Final = "disputes_v2"
AFTER_ALL: Final = "opened0"
"""Behind every key of those in the order of their openings."""
_INSTANT_DIGITS: Final = 15

Row = dict[str, Any]


def project(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
    """Return the rows that an event changes, by key.

    `dispute/<id>` in a scope's log, `reference/<id>` in an affected tenant's; in both `opened/<instant>/<id>` in the
    order of the openings, and in a scope's `open/<two digits>` with those that were open when last one changed.
    """
    event = recorded.event
    if isinstance(event, disputes.DisputeReferenced):
        key = f"reference/{event.dispute_id}"
        named = rows[key]["executions"] if key in rows else []
        row: Row = {"dispute": event.dispute_id, "executions": [*named, event.execution_id]}
        first = {} if named else _in_order(event.dispute_id, recorded.at_ms)
        return {key: {**row, "leaf_index": recorded.leaf_index, "at_ms": recorded.at_ms}, **first}
    if not isinstance(event, _OF_A_DISPUTE):
        return {}
    key = f"dispute/{event.dispute_id}"
    changes = _project(event)
    more: dict[str, Row] = {}
    if isinstance(event, disputes.DisputeOpened):
        known: Row = {"dispute": event.dispute_id, "opened_at_ms": recorded.at_ms, "answers": [], "evidence": 0}
        more = _in_order(event.dispute_id, recorded.at_ms)
    else:
        known = rows[key]
    if isinstance(event, disputes.DisputeAnswered):
        changes = {"answers": [*known["answers"], changes]}
    elif isinstance(event, disputes.DisputeEvidenceAttached):
        changes = {"evidence": known["evidence"] + 1}
    row = {**known, **changes, "leaf_index": recorded.leaf_index, "at_ms": recorded.at_ms}
    if "status" in changes:
        more |= _open(rows, row)
    return {key: row, **more}


def key_of(at_ms: int, dispute_id: str) -> str:
    """Return the key of a dispute among those in the order of their openings."""
    return f"opened/{at_ms:0{_INSTANT_DIGITS}d}/{dispute_id}"


def open_key(role: str, name: str) -> str:
    """Return the key of the row that has what a party has open, with what others have."""
    return f"open/{sha256_hex(f'{role} {name}'.encode())[:2]}"


def opened_by(row: Row | None, role: str, name: str, now_ms: int) -> int:
    """Return how many disputes a party has open: neither decided nor taken back, and not too old to be decided."""
    found = {} if row is None else row["open"]
    return sum(one["by"] == [role, name] and now_ms < one["decide_by_ms"] for one in found.values())


def _in_order(dispute_id: str, at_ms: int) -> dict[str, Row]:
    return {key_of(at_ms, dispute_id): {"dispute": dispute_id, "opened_at_ms": at_ms}}


def _open(rows: Mapping[str, Row], row: Row) -> dict[str, Row]:
    """Return what is open of a party and those beside it after one was opened or ended. What can't be decided goes."""
    by = [row["opened_by"]["role"], row["opened_by"]["name"]]
    key = open_key(*by)
    found = rows[key]["open"] if key in rows else {}
    left = {name: one for name, one in found.items() if name != row["dispute"] and row["at_ms"] < one["decide_by_ms"]}
    if row["status"] == "open":
        left[row["dispute"]] = {"by": by, "decide_by_ms": row["decide_by_ms"]}
    return {key: {"open": left}}


_OF_A_DISPUTE = (
    disputes.DisputeOpened
    | disputes.DisputeAnswered
    | disputes.DisputeEvidenceAttached
    | disputes.DisputeUpheld
    | disputes.DisputeOverturned
    | disputes.DisputeWithdrawn
)


@singledispatch
def _project(event: Event) -> Row:  # noqa: ARG001 - evidence is counted
    return {}


@_project.register
def _(event: disputes.DisputeOpened) -> Row:
    return {
        "status": "open",
        "subject": event.subject.model_dump(mode="json"),
        "grounds": event.grounds,
        "opened_by": _party(event.party),
        "affected": [one.model_dump(mode="json") for one in event.affected],
        "answer_by_ms": event.answer_by_ms,
        "decide_by_ms": event.decide_by_ms,
        "overturned": [],
    }


@_project.register
def _(event: disputes.DisputeAnswered) -> Row:
    return {"by": _party(event.party), "text": event.text}


@_project.register
def _(event: disputes.DisputeUpheld) -> Row:
    return {"status": "upheld", "reason": event.reason}


@_project.register
def _(event: disputes.DisputeOverturned) -> Row:
    return {"status": "overturned", "reason": event.reason, "overturned": list(event.cacs)}


@_project.register
def _(event: disputes.DisputeWithdrawn) -> Row:
    return {"status": "withdrawn", "reason": event.reason}


def _party(party: disputes.Party) -> Row:
    return {"role": party.role, "name": party.name}
