"""Rotation of data keys: a new generation seals from then on, nothing is rewritten.

Invariants:
- The keyring has the new generation, durably, before the log tells of it; the event is sealed with it, so whoever reads
  the log's own stream learns of it. A crash in between is made good by the next rotation, without a further generation.
"""

from uuid import UUID

from domain.errors import ConflictError, UnavailableError
from domain.message import Pending
from domain.tenants.events import DataKeyRotated
from infrastructure.keys.generations import ROTATION_DUE
from infrastructure.ledger import Ledger

_ATTEMPTS = 8


def rotate_data_key(ledger: Ledger, log_id: UUID) -> int:
    """Start the next generation of a log's data key; return its number.

    Raises:
        ErasedError: when the log's data keys were destroyed.
        UnavailableError: when the log's own stream keeps moving; repeating is safe.
    """
    for _ in range(_ATTEMPTS):
        stream = ledger.stream(log_id, log_id)
        told = sum(isinstance(recorded.event, DataKeyRotated) for recorded in stream)
        newest = ledger.keyring.get(log_id).data_key.generation
        if newest == told:
            newest = ledger.keyring.rotate_data_key(log_id).data_key.generation
        generations = range(told + 1, newest + 1)
        version = stream[-1].version + 1 if stream else 0
        pending = [
            Pending(log_id, log_id, version + at, DataKeyRotated(generation=generation))
            for at, generation in enumerate(generations)
        ]
        try:
            ledger.append(pending)
        except ConflictError:
            continue
        return newest
    raise UnavailableError("the log's own stream keeps moving: repeat the rotation")


def rotate_what_is_due(ledger: Ledger, due: int = ROTATION_DUE) -> tuple[UUID, ...]:
    """Rotate the data keys that have sealed often, long before they must not seal any more; return whose they were.

    Args:
        ledger: the ledger.
        due: sealings after which a key is rotated.
    """
    large = (log.log_id for log in ledger.logs() if ledger.head(log.log_id).size >= due)
    sealers = ((log_id, ledger.sealers.of(log_id)) for log_id in large)
    rotated = tuple(log_id for log_id, sealer in sealers if sealer is not None and sealer.sealed >= due)
    for log_id in rotated:
        rotate_data_key(ledger, log_id)
    return rotated
