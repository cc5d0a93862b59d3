"""Rotation of data keys: a new generation seals from then on, nothing is rewritten.

Invariants:
- The keyring has the new generation, durably, before the log tells of it; the event is sealed with it, so whoever reads
  the log's own stream learns of it. A crash in between is made good by the next rotation, without a further generation.
"""

from collections.abc import Iterator
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


def rotate_what_is_due(ledger: Ledger, due: int = ROTATION_DUE) -> Iterator[UUID]:
    """Rotate the data keys that have sealed often, long before they must not seal any more; yield whose they were.

    Args:
        ledger: the ledger.
        due: sealings after which a key is rotated.
    """
    for log in ledger.logs():
        sealer = None if ledger.erased(log.log_id) else ledger.sealers.of(log.log_id)
        if sealer is not None and sealer.sealed >= due and ledger.head(log.log_id).size:
            rotate_data_key(ledger, log.log_id)
            yield log.log_id
