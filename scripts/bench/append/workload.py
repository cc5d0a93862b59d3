"""What both sides store: the same events of 300 bytes, over 50 tenants, in streams of 10.

Invariants:
- The canonical JSON of each event's content is exactly 300 bytes; every event is a pydantic object of the domain.
- Everything is made before the clock starts; the clock covers what begins with the event object.
- Items of one lane follow each other; lanes share no stream, so that an optimistic check never fails by design.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from domain.executions.events import EnclaveProvisioned
from infrastructure.ids import IdSource

TENANTS = 50
EVENT_BYTES = 300
STREAM_EVENTS = 10
BATCH_EVENTS = 500
CALLERS = 64

_EMPTY_BYTES = len(
    EnclaveProvisioned(
        execution_id="", passed=True, rule="", have="", need="", policy_version=1, policy_digest="0" * 64
    ).model_dump_json()
)
_RULE = "in_country"
_NEED = "a node that is operated in the tenant's own jurisdiction"


@dataclass(frozen=True, slots=True)
class Item:
    """One event to store: which tenant (0 to 49), which stream, which version."""

    tenant: int
    stream_id: UUID
    version: int
    event: EnclaveProvisioned


def single_items(ids: IdSource, at_ms: int, *, lane: int, count: int) -> list[Item]:
    """Return one caller's events, to be stored one after the other; its streams go round the tenants."""
    streams = range(-(-count // STREAM_EVENTS))
    items = [item for stream in streams for item in _stream(ids, at_ms, tenant=(lane + stream) % TENANTS)]
    return items[:count]


def interleaved_items(ids: IdSource, at_ms: int, *, count: int) -> list[Item]:
    """Return events of streams that take turns: one event of each, then the second of each, and so on."""
    streams = range(-(-count // STREAM_EVENTS))
    rounds = zip(*(_stream(ids, at_ms, tenant=stream % TENANTS) for stream in streams), strict=True)
    return [item for items in rounds for item in items][:count]


def batches(ids: IdSource, at_ms: int, *, count: int) -> list[list[Item]]:
    """Return batches of 500 events, each with a stream of 10 in every tenant."""
    return [[item for tenant in range(TENANTS) for item in _stream(ids, at_ms, tenant=tenant)] for _ in range(count)]


def _stream(ids: IdSource, at_ms: int, *, tenant: int) -> Iterator[Item]:
    stream_id = ids.uuid(at_ms)
    for version in range(STREAM_EVENTS):
        yield Item(tenant, stream_id, version, _event(stream_id, version))


def _event(stream_id: UUID, version: int) -> EnclaveProvisioned:
    execution_id, have = f"exec-0x{stream_id.hex}", f"{version:02d}"
    missing = EVENT_BYTES - _EMPTY_BYTES - len(execution_id) - len(_RULE) - len(_NEED) - len(have)
    return EnclaveProvisioned(
        execution_id=execution_id,
        passed=True,
        rule=_RULE,
        have=have + "." * missing,
        need=_NEED,
        policy_version=1,
        policy_digest=stream_id.hex + f"{version:032x}",
    )
