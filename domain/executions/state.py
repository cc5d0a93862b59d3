"""An execution as its own stream tells it."""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Literal

from domain.errors import RefusedError
from domain.executions.events import (
    EnclaveProvisioned,
    EnclaveStarted,
    EvidenceAppraised,
    ExecutionAbandoned,
    ExecutionChallenged,
    ExecutionCompleted,
    ExecutionFaulted,
    ExecutionReserved,
    InputsReleased,
    ReleaseRefused,
    ReportRefused,
    RetryAuthorized,
    RetryRefused,
    RuntimeReset,
)
from domain.hashing import sha256_hex
from domain.message import Event

Status = Literal[
    "reserved", "challenged", "appraised", "provisioned", "released", "started", "completed", "faulted",
    "abandoned", "refused",
]  # fmt: skip


NO_REPORT = "0" * 64
"""What the first report names as its predecessor (wire formats 4)."""


@dataclass(frozen=True)
class Execution:
    """Where an execution stands; the events that its gate and CAC refer to are kept as they came."""

    reserved: ExecutionReserved
    status: Status = "reserved"
    version: int = 0
    challenge: ExecutionChallenged | None = None
    appraised: EvidenceAppraised | None = None
    released: InputsReleased | None = None
    completed: ExecutionCompleted | None = None
    faulted: ExecutionFaulted | None = None
    declined: ReleaseRefused | None = None
    reset: bool = False
    retry_decided: bool = False
    reports: int = 0
    last_report: str = NO_REPORT
    refused_reports: int = 0

    @property
    def id(self) -> str:
        """Return the execution id."""
        return self.reserved.execution_id

    def changed(self, **changes: Any) -> "Execution":
        """Return the execution with members changed: `dataclasses.replace`, at a tenth of its cost.

        An execution changes with every event, and histories hold millions.
        """
        execution = object.__new__(Execution)
        execution.__dict__.update(self.__dict__, **changes)
        return execution

    @property
    def terminal(self) -> bool:
        """Tell whether no report of this execution can change anything any more.

        One that was abandoned stays so when a fault of it holds its workload: it never had inputs, nothing is reset.
        """
        return self.reset or self.status in {"abandoned", "refused"}


@singledispatch
def evolve(event: Event, execution: Execution | None) -> Execution:  # noqa: ARG001 - the default ignores the event
    """Return the execution after one more event of its stream."""
    known = _known(execution)
    return known.changed(version=known.version + 1)


@evolve.register
def _(event: ExecutionReserved, execution: Execution | None) -> Execution:
    if execution is not None:
        raise RefusedError("an execution id is used once")
    return Execution(reserved=event)


@evolve.register
def _(event: ExecutionChallenged, execution: Execution | None) -> Execution:
    known = _known(execution)
    return known.changed(status="challenged", challenge=event, version=known.version + 1)


@evolve.register
def _(event: EvidenceAppraised, execution: Execution | None) -> Execution:
    known = _known(execution)
    status: Status = "appraised" if event.accepted else "refused"
    return _reported(known, event.evidence, status=status, appraised=event)


@evolve.register
def _(event: EnclaveProvisioned, execution: Execution | None) -> Execution:
    known = _known(execution)
    return known.changed(status="provisioned" if event.passed else "refused", version=known.version + 1)


@evolve.register
def _(event: ReleaseRefused, execution: Execution | None) -> Execution:
    known = _known(execution)
    return known.changed(declined=event, version=known.version + 1)


@evolve.register
def _(event: InputsReleased, execution: Execution | None) -> Execution:
    known = _known(execution)
    return known.changed(status="released", released=event, version=known.version + 1)


@evolve.register
def _(event: EnclaveStarted, execution: Execution | None) -> Execution:
    known = _known(execution)
    return _reported(known, event.report, status="started")


@evolve.register
def _(event: ExecutionCompleted, execution: Execution | None) -> Execution:
    known = _known(execution)
    return _reported(known, event.report, status="completed", completed=event)


@evolve.register
def _(event: ExecutionFaulted, execution: Execution | None) -> Execution:
    known = _known(execution)
    status: Status = "abandoned" if known.status == "abandoned" else "faulted"
    return _reported(known, event.report, status=status, faulted=event)


@evolve.register
def _(event: RuntimeReset, execution: Execution | None) -> Execution:
    known = _known(execution)
    return _reported(known, event.report, reset=True)


@evolve.register
def _(event: ExecutionAbandoned, execution: Execution | None) -> Execution:
    known = _known(execution)
    return _reported(known, event.report, status="abandoned")


@evolve.register
def _(event: ReportRefused, execution: Execution | None) -> Execution:  # noqa: ARG001 - only that it happened
    known = _known(execution)
    return known.changed(refused_reports=known.refused_reports + 1, version=known.version + 1)


@evolve.register(RetryAuthorized)
@evolve.register(RetryRefused)
def _(event: RetryAuthorized | RetryRefused, execution: Execution | None) -> Execution:  # noqa: ARG001 - see above
    known = _known(execution)
    return known.changed(retry_decided=True, version=known.version + 1)


def _reported(execution: Execution, report: str | None, **changes: Any) -> Execution:
    """Return the execution after an event that a report may stand behind."""
    changes["version"] = execution.version + 1
    if report is not None:
        changes |= {"reports": execution.reports + 1, "last_report": sha256_hex(report.encode())}
    return execution.changed(**changes)


def _known(execution: Execution | None) -> Execution:
    if execution is None:
        raise RefusedError("an execution's stream begins with its reservation")
    return execution
