"""Workloads that are held after a fault, as a log tells it."""

from collections.abc import Iterable

from domain.executions.events import ExecutionFaulted, ExecutionReserved, RetryAuthorized, RetryRefused
from domain.message import Event


def open_holds(events: Iterable[Event]) -> tuple[str, ...]:
    """Return the workloads, of a whole log in leaf order, with a fault that governance has not decided."""
    workloads: dict[str, str] = {}
    held: dict[str, None] = {}
    for event in events:
        match event:
            case ExecutionReserved():
                workloads[event.execution_id] = event.workload_id
            case ExecutionFaulted():
                held[workloads[event.execution_id]] = None
            case RetryAuthorized() | RetryRefused():
                held.pop(event.workload_id, None)
    return tuple(held)
