"""Histories of one log, told event by event, and folds over them."""

from collections.abc import Callable, Mapping
from typing import Any

from domain.executions.events import EnclaveStarted, RuntimeReset
from domain.identifiers import execution_id, stream_of
from domain.message import Event, Recorded
from domain.workloads.events import ClauseVerified, CredentialChecked, Place
from tests.domain import samples

Row = dict[str, Any]
Project = Callable[[Mapping[str, Row], Recorded], dict[str, Row]]

PARTNER = execution_id(samples.ORIGIN, samples.WORKLOAD, 1, 1)
SECOND = execution_id(samples.ORIGIN, samples.WORKLOAD, 2, 0)

CHECKED: tuple[Event, ...] = (
    samples.submitted(),
    CredentialChecked(passed=True, reason="in force", credential_digest=None, valid_until_ms=None),
    ClauseVerified(passed=True, reason="registered", module_digest=None, clause_entry=None),
    samples.queued(),
)
PLACED: tuple[Event, ...] = (*CHECKED, samples.deferred(), samples.placed(), samples.reserved())


def runs(execution: str = samples.EXECUTION) -> tuple[Event, ...]:
    """Return how an execution gets its inputs and starts."""
    return (
        samples.challenged(execution_id=execution),
        samples.appraised(execution_id=execution),
        samples.provisioned(execution_id=execution),
        samples.released(execution_id=execution),
        EnclaveStarted(execution_id=execution, report="s"),
    )


def reset(execution: str = samples.EXECUTION, report: str | None = "r") -> RuntimeReset:
    """Return a reset."""
    return RuntimeReset(execution_id=execution, report=report)


def again(attempt: int = 2, execution: str = SECOND) -> tuple[Event, ...]:
    """Return a further attempt, queued and placed."""
    place = Place(execution_id=execution, k=0, node="node-b", cac_id=samples.CAC, output_address="o")
    return (
        samples.queued(attempt=attempt),
        samples.placed(attempt=attempt, places=(place,)),
        samples.reserved(execution_id=execution, attempt=attempt, node="node-b"),
    )


TWO_PLACED: tuple[Event, ...] = (
    *CHECKED,
    samples.placed(
        places=tuple(
            Place(execution_id=name, k=k, node=f"node-{k}", cac_id=samples.CAC, output_address="o")
            for k, name in enumerate((samples.EXECUTION, PARTNER))
        )
    ),
    samples.reserved(),
    samples.reserved(execution_id=PARTNER, k=1, node="node-1"),
)


def told(*events: Event) -> list[Recorded]:
    """Return events as a log holds them: each in its own stream, an instant apart."""
    return [
        samples.recorded(
            event, leaf, stream_of(getattr(event, "execution_id", samples.WORKLOAD)), leaf, samples.NOW + leaf
        )
        for leaf, event in enumerate(events)
    ]


def fold(project: Project, history: list[Recorded]) -> dict[str, Row]:
    """Fold a history into rows; no row is changed in place."""
    rows: dict[str, Row] = {}
    for recorded in history:
        before = {key: repr(row) for key, row in rows.items()}
        changed = project(rows, recorded)
        assert {key: repr(row) for key, row in rows.items()} == before, "a row was changed in place"
        rows = {**rows, **changed}
    return rows
