"""What the ledger asks of a keyring: the port behind which files, a KMS or PKCS#11 keep the keys.

Invariants (tests/keys/test_keyring.py holds the file keyring to them):
- A key that was handed out once is handed out again, unchanged, until it is destroyed; generations are only added.
- Destroyed is a state of its own: never the same as missing, damaged or wrongly unlocked, and never undone by `put`.
- No error and no repr holds a secret.
"""

from typing import Protocol
from uuid import UUID

from infrastructure.keys.log_keys import LogKeys, LogKind, PlatformSecrets


class KeyringPort(Protocol):
    """The keys of all logs of one cell."""

    def get(self, log_id: UUID) -> LogKeys:
        """Return a log's keys; after `destroy` those that are left.

        Raises:
            UnknownError: when there are none.
            VerificationError: when they are damaged.
        """
        ...

    def mark(self, log_id: UUID) -> object:
        """Return a value that differs once a log's keys were changed, by whatever process; None where there are none.

        It is asked before each request of a log: it must cost microseconds, or be remembered for a moment.
        """
        ...

    def put(self, keys: LogKeys) -> None:
        """Store a log's keys, new or with further generations.

        Raises:
            ConflictError: when keys that are stored would be lost, changed or brought back.
        """
        ...

    def create(self, log_id: UUID, kind: LogKind, *, own_custody: bool = False) -> LogKeys:
        """Draw and store the keys of a new log; returns those stored, if there are any.

        Args:
            log_id: of the log.
            kind: whose log it is.
            own_custody: the tenant itself holds what opens its inputs and outputs: no such key is made here.
        """
        ...

    def rotate_data_key(self, log_id: UUID) -> LogKeys:
        """Add the next generation of a log's data key and return all its keys. Raises as `get` does."""
        ...

    def rotate_signing_keys(self, log_id: UUID) -> LogKeys:
        """Add the next generation of a log's signing keys and return all its keys. Raises as `get` does."""
        ...

    def destroy(self, log_id: UUID) -> LogKeys:
        """Zero a tenant's data, attestation, release and output keys; return what is left. Repeating is safe.

        Raises:
            UnknownError: when there are none.
            RefusedError: when the log is no tenant's.
        """
        ...

    def log_ids(self) -> tuple[UUID, ...]:
        """Return the logs that have keys here, erased ones too, in order of id."""
        ...

    def platform_secrets(self) -> PlatformSecrets:
        """Return the cell's secrets; draws them at the first call."""
        ...
