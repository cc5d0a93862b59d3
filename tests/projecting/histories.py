"""Histories of logs in a real ledger, and a projection that shows every event that it misses or counts twice."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from hypothesis import strategies as st

from domain.canonical import canonical
from domain.identifiers import execution_id, stream_of, workload_id
from domain.message import Event, Pending, Recorded, event_from
from domain.platform.events import Ticked
from infrastructure.keys.keyring import LogKind
from infrastructure.ledger import Ledger
from infrastructure.postgres.views import Views
from infrastructure.projecting.follower import Follower, Project
from infrastructure.projecting.rows import Row, opened_row
from tests.domain import samples
from tests.projections.lives import PARTNER, SECOND
from tests.projections.test_audit_trail import LIVES

CHAIN = "chain_v1"


def chain(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
    """Count and hash events, all and by stream: a hole, a duplicate and another order each give other rows."""
    changed = {}
    for key in ("all", f"stream/{recorded.stream_id}"):
        row = rows.get(key, {"count": 0, "digest": ""})
        digest = sha256(row["digest"].encode() + recorded.leaf_hash).hexdigest()
        changed[key] = {"count": row["count"] + 1, "digest": digest}
    return changed


def folded(project: Project, history: Sequence[Recorded]) -> dict[str, Row]:
    """Fold a history in memory."""
    rows: dict[str, Row] = {}
    for recorded in history:
        rows.update(project(rows, recorded))
    return rows


def stored(ledger: Ledger, name: str, log_id: UUID) -> dict[str, Row]:
    """Return the rows that readers see, opened."""
    at_rest = ledger.at_rest(log_id)
    return {
        key: opened_row(at_rest, log_id, name, key, value)
        for key, value in Views(ledger.datastore).rows(name, log_id).items()
    }


def make_log(ledger: Ledger) -> UUID:
    """Make a tenant's log."""
    return ledger.create_log(LogKind.TENANT, "ledger.example")[0].log_id


def tick(ledger: Ledger, log_id: UUID, events: int = 1, streams: int = 3) -> None:
    """Append simple events to some streams, in one commit."""
    versions = dict.fromkeys((UUID(int=log_id.int + number) for number in range(1, streams + 1)), -1)
    for stream in versions:
        versions[stream] += len(ledger.stream(log_id, stream))
    pending = []
    for number, stream in zip(range(events), _around(list(versions)), strict=False):
        versions[stream] += 1
        pending.append(Pending(log_id, stream, versions[stream], Ticked(due_ms=number)))
    ledger.append(pending)


def _around(streams: list[UUID]) -> Any:
    return (streams[number % len(streams)] for number in count())


def finish(follower: Follower, log_id: UUID) -> int:
    """Step until nothing is left to do; return how many events were folded."""
    total, step = 0, follower.step(log_id)
    total += step.folded
    while step.more:
        step = follower.step(log_id)
        total += step.folded
    return total


def lives_of_many(choices: Sequence[tuple[str, int]], order: Sequence[int]) -> list[tuple[UUID, Event]]:
    """Return lives of several workloads, each up to some event, interleaved: (stream, event), a valid history.

    Args:
        choices: a life's name and how many of its events happen.
        order: decides whose event comes next.
    """
    lives = [_own_ids(LIVES[name][: 1 + upto % len(LIVES[name])]) for name, upto in choices]
    told: list[tuple[UUID, Event]] = []
    for pick in order:
        waiting = [life for life in lives if life]
        if not waiting:
            break
        told.append(waiting[pick % len(waiting)].pop(0))
    for life in lives:
        told.extend(life)
    return told


def _own_ids(life: Sequence[Event]) -> list[tuple[UUID, Event]]:
    """Return a life with ids of its own, each event with its stream."""
    workload = workload_id(uuid4())
    names = {samples.WORKLOAD: workload}
    for known, attempt, k in ((samples.EXECUTION, 1, 0), (PARTNER, 1, 1), (SECOND, 2, 0)):
        names[known] = execution_id(samples.ORIGIN, workload, attempt, k)
    told = []
    for event in life:
        text = canonical(event.payload()).decode()
        for known, own in names.items():
            text = text.replace(known, own)
        changed = event_from(event.TOPIC, json.loads(text))
        told.append((stream_of(getattr(changed, "execution_id", workload)), changed))
    return told


def append(ledger: Ledger, log_id: UUID, told: Sequence[tuple[UUID, Event]]) -> None:
    """Append events in one commit."""
    versions: dict[UUID, int] = {}
    pending = []
    for stream, event in told:
        version = versions.get(stream, len(ledger.stream(log_id, stream)) - 1) + 1
        versions[stream] = version
        pending.append(Pending(log_id, stream, version, event))
    ledger.append(pending)


HISTORIES = st.builds(
    lives_of_many,
    st.lists(st.tuples(st.sampled_from(sorted(LIVES)), st.integers(0, 40)), min_size=1, max_size=4),
    st.lists(st.integers(0, 20), max_size=60),
)
"""Valid histories of one tenant's log."""
