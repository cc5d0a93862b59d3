"""A ledger with a few logs, and events for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from domain.executions.events import EnclaveProvisioned
from domain.message import Event, Pending
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.keys import ed25519
from infrastructure.keys.keyring import Keyring, LogKind
from infrastructure.ledger import Command, Ledger
from infrastructure.postgres.connect import Database

HOST = "ledger.example"
JTI = "0123456789abcdef" * 2


@dataclass
class Scene:
    """A ledger and its tenants' logs."""

    ledger: Ledger
    logs: Sequence[UUID]
    ids: SystemIds = field(default_factory=SystemIds)

    def pending(self, log_id: UUID, stream_id: UUID | None = None, version: int = 0, text: str = "x") -> Pending:
        """Return an event, of a stream of its own unless told otherwise."""
        return Pending(log_id, stream_id or self.new_id(), version, event(text))

    def new_id(self) -> UUID:
        """Return a fresh id."""
        return self.ids.uuid(self.ledger.clock.now_ms())

    def key(self, log_id: UUID) -> bytes:
        """Return the public key of a log's acknowledgements."""
        return ed25519.public_bytes(self.ledger.keyring.get(log_id).acknowledgement_key())


def event(text: str) -> Event:
    """Return a small event."""
    return EnclaveProvisioned(
        execution_id="", passed=True, rule="", have=text, need="", policy_version=1, policy_digest="0" * 64
    )


def command(log_id: UUID, jti: str = JTI, body: bytes = b"body") -> Command:
    """Return a command that may be repeated."""
    return Command(log_id, "issuer", jti, body, {"done": True})


@contextmanager
def open_scene(conninfo: str, keys: Path, *, logs: int) -> Iterator[Scene]:
    """Open a ledger over an empty database and make logs."""
    entropy = SystemEntropy()
    keyring = Keyring.open(keys, entropy)
    with Ledger(
        Database(conninfo), keyring, clock=SystemClock(), ids=SystemIds(), entropy=entropy, data_dir=keys.parent
    ) as ledger:
        ledger.create_log(LogKind.PLATFORM, HOST)
        yield Scene(ledger, [ledger.create_log(LogKind.TENANT, HOST)[0].log_id for _ in range(logs)])
