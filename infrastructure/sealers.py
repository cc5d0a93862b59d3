"""The sealers of all logs in one process: made from the keyring, renewed when keys change, gone with them.

Invariants:
- A log has one sealer in a process: two would count their sealings apart.
- `check` comes before each request of a log: keys that were rotated or destroyed by another process count from then on,
  and what was opened with destroyed ones is forgotten here too.
- Destroyed is what the keyring says of itself, or the platform log's KeyDestroyed [a keyring restored from a copy opens
  nothing]. Keys that are merely missing are an error, never an erasure.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from domain.errors import ErasedError
from domain.identifiers import PLATFORM_SLOT
from domain.tenants.events import DataKeyRotated
from infrastructure.entropy import Entropy
from infrastructure.keys.generations import LogSealer
from infrastructure.keys.log_keys import LogKeys
from infrastructure.keys.port import KeyringPort
from infrastructure.postgres.reading import Reader
from infrastructure.postgres.records import Log

Forget = Callable[[UUID], None]
"""Drops what was opened of a log."""


@dataclass(frozen=True, slots=True)
class _Held:
    mark: object
    sealer: LogSealer | None
    keys: LogKeys | None


class Sealers:
    """The sealers of one process.

    Args:
        keyring: whose keys they hold.
        entropy: where IVs come from.
        reader: reads of the ledger.
        is_destroyed: tells whether the platform log says that a log's data keys were destroyed.
        forget: is told each log whose keys changed.
    """

    def __init__(
        self,
        keyring: KeyringPort,
        entropy: Entropy,
        reader: Reader,
        *,
        is_destroyed: Callable[[Log], bool],
        forget: Forget,
    ) -> None:
        self._keyring = keyring
        self._entropy = entropy
        self._reader = reader
        self._is_destroyed = is_destroyed
        self._forget = forget
        self._held: dict[UUID, _Held] = {}
        self._lock = threading.RLock()

    def of(self, log_id: UUID) -> LogSealer | None:
        """Return a log's sealer, or None when its data keys were destroyed.

        Raises:
            UnknownError: when the keyring has none, though nothing says that they were destroyed.
            VerificationError: when they are damaged.
        """
        held = self._held.get(log_id)
        if held is None:
            with self._lock:
                held = self._held.get(log_id) or self._open(log_id)
        return held.sealer

    def keys(self, log_id: UUID) -> LogKeys:
        """Return all keys of a log, as they were when its sealer was made. Raises as `readable` does."""
        self.readable(log_id)
        keys = self._held[log_id].keys
        if keys is None:
            raise ErasedError
        return keys

    def readable(self, log_id: UUID) -> LogSealer:
        """Return a log's sealer. Raises as `of` does.

        Raises:
            ErasedError: when its data keys were destroyed.
        """
        sealer = self.of(log_id)
        if sealer is None:
            raise ErasedError
        return sealer

    def check(self, log_ids: Iterable[UUID]) -> None:
        """Let go of what is held of logs whose keys have changed since."""
        for log_id in log_ids:
            held = self._held.get(log_id)
            if held is not None and held.mark != self._keyring.mark(log_id):
                self.renew(log_id)

    def renew(self, log_id: UUID) -> LogSealer | None:
        """Read a log's keys again. Returns and raises as `of` does."""
        with self._lock:
            if self._held.pop(log_id, None) is not None:
                self._forget(log_id)
            return self.of(log_id)

    def _open(self, log_id: UUID) -> _Held:
        mark = self._keyring.mark(log_id)  # taken before the keys: a change in between shows at the next check
        held = self._held[log_id] = _Held(mark, *self._made(self._reader.log(log_id)))
        return held

    def _made(self, log: Log) -> tuple[LogSealer, LogKeys] | tuple[None, None]:
        if log.slot != PLATFORM_SLOT and self._is_destroyed(log):
            return None, None
        keys = self._keyring.get(log.log_id)
        if keys.erased:
            return None, None
        sealed = self._sealed(log.log_id, keys.data_key.generation)
        return LogSealer(log.origin, keys.data_keys, self._entropy, sealed_before=sealed), keys

    def _sealed(self, log_id: UUID, generation: int) -> int:
        """Return how many entries were sealed since a generation began; none, where the log doesn't tell of it yet."""
        size = self._reader.head(log_id).size
        ((told, since),) = self._reader.fetch("last_of_topic", log_id=log_id, topic=DataKeyRotated.TOPIC)
        if told < generation:
            return 0
        return int(size - since) if told else size
