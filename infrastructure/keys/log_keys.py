"""The keys of one log, and the platform's secrets, as a keyring keeps them.

Invariants:
- A log has a data key per generation (from 0, without gaps) and two signing keys; a tenant's also has its attestation
  key, its release key and its output key. No key is shared between logs.
- Stored as canonical JSON of hex strings, inside a sealed file. Nothing of it appears in a repr.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError, UnknownError
from infrastructure.entropy import Entropy
from infrastructure.keys import ed25519, hpke
from infrastructure.keys.stream_keys import DataKey

SEED_BYTES = 32


class LogKind(StrEnum):
    """Whose log it is."""

    TENANT = "tenant"
    SCOPE = "scope"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSeeds:
    """Seeds (32 bytes) of what only tenants have: attestation Ed25519, release and output HPKE."""

    attestation: bytes = field(repr=False)
    release: bytes = field(repr=False)
    output: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKeys:
    """All keys of one log."""

    log_id: UUID
    kind: LogKind
    data_keys: tuple[DataKey, ...] = field(repr=False)
    ed25519_seed: bytes = field(repr=False)
    mldsa44_seed: bytes = field(repr=False)
    tenant: TenantSeeds | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.data_keys or [key.generation for key in self.data_keys] != list(range(len(self.data_keys))):
            raise MalformedError("a log's data keys are not generations from 0 without gaps")
        if (self.kind is LogKind.TENANT) != (self.tenant is not None):
            raise MalformedError("exactly tenants' logs have attestation, release and output keys")
        seeds = [self.ed25519_seed, self.mldsa44_seed]
        if self.tenant is not None:
            seeds += [self.tenant.attestation, self.tenant.release, self.tenant.output]
        if any(len(seed) != SEED_BYTES for seed in seeds):
            raise MalformedError(f"a seed is not {SEED_BYTES} bytes")

    @property
    def data_key(self) -> DataKey:
        """The data key of the newest generation, which seals."""
        return self.data_keys[-1]

    def ed25519_key(self) -> Ed25519PrivateKey:
        """Return the log's Ed25519 key (checkpoints)."""
        return ed25519.private_key(self.ed25519_seed)

    def mldsa44_key(self) -> MLDSA44PrivateKey:
        """Return the log's ML-DSA-44 key (checkpoints)."""
        return MLDSA44PrivateKey.from_seed_bytes(self.mldsa44_seed)

    def attestation_key(self) -> Ed25519PrivateKey:
        """Return the tenant's key that certifies enclave keys.

        Raises:
            UnknownError: when the log is not a tenant's.
        """
        return ed25519.private_key(self._tenant().attestation)

    def release_key(self) -> hpke.PrivateKey:
        """Return the tenant's key to which inputs are sealed on arrival. Raises as `attestation_key` does."""
        return hpke.PrivateKey(self._tenant().release)

    def output_key(self) -> hpke.PrivateKey:
        """Return the tenant's key to which outputs are sealed. Raises as `attestation_key` does."""
        return hpke.PrivateKey(self._tenant().output)

    def with_next_generation(self, entropy: Entropy) -> "LogKeys":
        """Return the same keys and a data key of the next generation."""
        return replace(self, data_keys=(*self.data_keys, DataKey.create(len(self.data_keys), entropy)))

    def to_bytes(self) -> bytes:
        """Return the form that is sealed into a file."""
        content: dict[str, Any] = {
            "data_keys": [key.secret.hex() for key in self.data_keys],
            "ed25519_seed": self.ed25519_seed.hex(),
            "kind": self.kind.value,
            "log_id": str(self.log_id),
            "mldsa44_seed": self.mldsa44_seed.hex(),
        }
        if self.tenant is not None:
            content["attestation_seed"] = self.tenant.attestation.hex()
            content["output_seed"] = self.tenant.output.hex()
            content["release_seed"] = self.tenant.release.hex()
        return canonical(content)

    @classmethod
    def from_bytes(cls, data: bytes) -> "LogKeys":
        """Read what `to_bytes` wrote.

        Raises:
            MalformedError: when it is anything else.
        """
        try:
            content = parse_canonical(data)
            kind = LogKind(content["kind"])
            return cls(
                log_id=UUID(content["log_id"]),
                kind=kind,
                data_keys=tuple(DataKey(i, bytes.fromhex(key)) for i, key in enumerate(content["data_keys"])),
                ed25519_seed=bytes.fromhex(content["ed25519_seed"]),
                mldsa44_seed=bytes.fromhex(content["mldsa44_seed"]),
                tenant=_tenant_seeds(content) if kind is LogKind.TENANT else None,
            )
        except (KeyError, ValueError, TypeError, AttributeError):
            raise MalformedError("a keyring file holds no log's keys") from None

    def _tenant(self) -> TenantSeeds:
        if self.tenant is None:
            raise UnknownError(f"the {self.kind} log {self.log_id} has no tenant's keys")
        return self.tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformSecrets:
    """Secrets (32 bytes) of a cell that belong to no log: of the anchors' blinding, and of the cell's own views."""

    anchor: bytes = field(repr=False)
    cell: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return the form that is sealed into a file."""
        return canonical({"anchor": self.anchor.hex(), "cell": self.cell.hex()})

    @classmethod
    def from_bytes(cls, data: bytes) -> "PlatformSecrets":
        """Read what `to_bytes` wrote.

        Raises:
            MalformedError: when it is anything else.
        """
        try:
            content = parse_canonical(data)
            return cls(anchor=bytes.fromhex(content["anchor"]), cell=bytes.fromhex(content["cell"]))
        except (KeyError, ValueError, TypeError):
            raise MalformedError("a keyring file holds no platform secrets") from None


def create_log_keys(log_id: UUID, entropy: Entropy, kind: LogKind) -> LogKeys:
    """Draw all keys of a new log."""
    tenant = None
    if kind is LogKind.TENANT:
        tenant = TenantSeeds(
            attestation=entropy.bytes(SEED_BYTES), release=entropy.bytes(SEED_BYTES), output=entropy.bytes(SEED_BYTES)
        )
    return LogKeys(
        log_id=log_id,
        kind=kind,
        data_keys=(DataKey.create(0, entropy),),
        ed25519_seed=entropy.bytes(SEED_BYTES),
        mldsa44_seed=entropy.bytes(SEED_BYTES),
        tenant=tenant,
    )


def _tenant_seeds(content: dict[str, str]) -> TenantSeeds:
    return TenantSeeds(
        attestation=bytes.fromhex(content["attestation_seed"]),
        release=bytes.fromhex(content["release_seed"]),
        output=bytes.fromhex(content["output_seed"]),
    )
