"""Metering: each execution once, and nothing that its own entries contradict.

How long it held its place is bounded by its reservation and by when it was metered; the fuel is the node's word.
"""

from domain.cacs.events import UsageMetered
from domain.errors import VerificationError
from domain.executions.state import Execution
from domain.message import Recorded
from infrastructure.audit.known import Known

_MEBIBYTE = 1 << 20
_CHECKED = "usage: metered once, for what was held of the place, its inputs and output"


def follow(known: Known, event: UsageMetered, recorded: Recorded, execution: Execution | None) -> None:
    """Check one execution's metering.

    Args:
        known: the fold of the log.
        event: what was metered.
        recorded: the event's entry.
        execution: whose; None when it has come to its end.

    Raises:
        VerificationError: when it was metered before, or its entries say otherwise.
    """
    key = b"metered\0" + event.execution_id.encode()
    known.once.claim(key, recorded.leaf_index, b"", "its usage was metered in entry {} already")
    if execution is None:
        return
    if not execution.reset or execution.status not in {"completed", "faulted"}:
        raise VerificationError("usage is metered of what ended and was reset")
    workload = known.workload(execution.reserved.workload_id, "usage: slots and inputs")
    if workload is None or workload.queued is None:
        return
    reserved, slots = execution.reserved, workload.queued.facts.slots
    memory_mib = -(-reserved.limits.memory_bytes // _MEBIBYTE)
    most_ms = recorded.at_ms - reserved.from_ms
    if event.memory_mib_ms * slots != memory_mib * event.slot_ms or not 0 <= event.slot_ms <= slots * max(0, most_ms):
        raise VerificationError("usage is metered of more than was held")
    if event.node not in {None, reserved.node} or event.tokens not in {None, slots}:
        raise VerificationError("usage names another node, or other tokens, than the place had")
    given = sum(one.size_bytes for one in workload.submitted.inputs)
    made = 0 if execution.completed is None else execution.completed.output_bytes
    if event.bytes_in not in {None, given} or event.bytes_out not in {None, made} or event.fuel < 0:
        raise VerificationError("usage names other bytes than inputs and output have")
    if event.fuel > reserved.limits.fuel:
        raise VerificationError("usage names more fuel than the execution was given")
    known.checked[_CHECKED] += 1
