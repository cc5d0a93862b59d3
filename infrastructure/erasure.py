"""Carries an order of erasure out (wire formats 10).

Order: cooled off -> everything terminal -> last checkpoint anchored -> sealed views complete and durable -> the log
closed at that size -> data keys zeroed in every copy of the keyring -> KeyDestroyed in the platform log -> read models
dropped.

Invariants:
- Nothing slips in between the last look and the end of the keys: the log is closed at the size that was looked at, or
  not at all; every append reads that under the head's lock.
- Each step is safe to repeat, and none is begun before the one before it is durable: whatever dies in between, the same
  command again goes on.
- The own keyring is zeroed last of all copies: as long as it has the keys, everything is proved again from the start.
- From the zeroed keyring on every process reads the log as `Sealed`, whether the platform log tells of it yet or not:
  the other tenants' work does not stop in between.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.errors import ConflictError, RefusedError, UnavailableError
from domain.identifiers import erasure_stream
from domain.message import Pending
from domain.platform.events import KeyDestroyed
from domain.tenants.erasure import require_cooled_off, require_undisputed
from domain.tenants.events import KeyDisclosed
from infrastructure.commands.loading import load_tenant
from infrastructure.commands.referring import open_disputes
from infrastructure.decider import Decider
from infrastructure.keys.port import KeyringPort
from infrastructure.ledger import Ledger
from infrastructure.postgres.publication import Publications
from infrastructure.postgres.records import Log
from infrastructure.postgres.sealed_views import SealedViews
from infrastructure.postgres.views import Views

Anchored = Callable[[UUID, int], int | None]
"""The round of the anchor log that holds a log's checkpoint at a size, or None as long as there is none."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was destroyed, and what is known of traces.

    Attributes:
        log: whose data keys.
        size: how many entries can't be read any more.
        root: the log's root at that size, in hex.
        round: the round that anchors it; None without a publisher.
        disclosures: how often stream keys were handed out before; None when an earlier call destroyed them.
        plain_until: until when an older program kept read models of it in the clear; None where none ever did.
    """

    log: Log
    size: int
    root: str
    round: int | None
    disclosures: int | None
    plain_until: datetime | None


def destroy_keys(
    ledger: Ledger, log_id: UUID, *, anchored: Anchored | None = None, copies: Sequence[KeyringPort] = ()
) -> Erased:
    """Destroy a tenant's data keys, or go on where an earlier call stopped.

    Args:
        ledger: the ledger.
        log_id: the tenant's log.
        anchored: tells whether the last checkpoint is anchored; None where nothing is published.
        copies: further copies of the keyring.

    Raises:
        RefusedError: when it is not ordered, still cooling off, disputed, or something of the tenant waits or runs.
        UnavailableError: when the last checkpoint is not anchored yet, or the log keeps growing. Repeat later.
    """
    disclosures = None
    if not ledger.erased(log_id):
        disclosures = _made_ready(ledger, log_id, anchored)
    for keyring in (*copies, ledger.keyring):
        if keyring.mark(log_id) is not None:
            keyring.destroy(log_id)
    ledger.erased(log_id)  # looks at the keys again, and forgets what was opened with them
    told = _recorded(ledger, ledger.log(log_id), anchored)
    Views(ledger.datastore).drop(log_id)
    return Erased(
        log=ledger.log(log_id),
        size=told.size,
        root=told.root,
        round=told.round,
        disclosures=disclosures,
        plain_until=SealedViews(ledger.datastore).plain_until(log_id),
    )


def _made_ready(ledger: Ledger, log_id: UUID, anchored: Anchored | None) -> int:
    """Check all that has to hold before a key goes; return how often stream keys were disclosed."""
    tenant = load_tenant(ledger, log_id)
    require_cooled_off(tenant, ledger.clock.now_ms())
    size = ledger.head(log_id).size
    history = (recorded.event for recorded in ledger.history(log_id, size=size))
    require_undisputed(open_disputes(ledger, tenant, history))
    decider = Decider(ledger)
    if not decider.catch_up().at_rest(ledger.log(log_id).slot):
        raise RefusedError("something of the tenant still waits or runs: `enclave-ledger work` brings it to its end")
    if anchored is not None and anchored(log_id, size) is None:
        raise UnavailableError(
            f"the last checkpoint (size {size}) is not anchored yet: repeat after the next round (`anchor run`)"
        )
    decider.views.flush(durable=True)
    if not decider.views.complete(log_id, size):
        raise UnavailableError("not every entry has its sealed view yet: repeat")
    if not Publications(ledger.datastore).close(log_id, size):
        raise UnavailableError("the log has grown meanwhile: repeat")
    return sum(isinstance(recorded.event, KeyDisclosed) for recorded in ledger.stream(log_id, log_id))


def _recorded(ledger: Ledger, log: Log, anchored: Anchored | None) -> KeyDestroyed:
    """Return what the platform log says of the destruction; it is recorded if it is not there yet."""
    platform, stream = ledger.platform().log_id, erasure_stream(log.slot)
    head = ledger.head(log.log_id)
    event = KeyDestroyed(
        slot=log.slot,
        size=head.size,
        root=head.root().hex(),
        round=anchored(log.log_id, head.size) if anchored is not None else None,
    )
    if not ledger.stream(platform, stream):
        with contextlib.suppress(ConflictError):  # another process carries the same order out
            ledger.append([Pending(platform, stream, 0, event)])
    found = ledger.stream(platform, stream)[0].event
    return found if isinstance(found, KeyDestroyed) else event
