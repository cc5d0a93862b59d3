"""The keys of one log, and the platform's secrets, as a keyring keeps them.

Invariants:
- A log has a data key per generation and two signing keys per generation (from 0, without gaps), and the key of its
  acknowledgements; a tenant's also has its attestation key, its release key and its output key; the last two are not
  here where the tenant holds them itself (`custody: tenant`). The anchor log has no data key: its entries are public.
  No key is shared between logs, and none has two purposes.
- Erasing takes a tenant's data keys and its attestation, release and output keys. What signs for the log stays: its
  checkpoints are published and anchored as before. That it was erased, and of how many generations, stays as well:
  erased and missing are never taken for each other.
- Stored as canonical JSON of hex strings, inside a sealed file. Nothing of it appears in a repr.
"""

import hmac
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from domain.canonical import canonical, parse_canonical
from domain.errors import ErasedError, MalformedError, UnknownError
from infrastructure.entropy import Entropy
from infrastructure.keys import ed25519, hpke
from infrastructure.keys.stream_keys import DataKey

SEED_BYTES = 32
_RESULT = b"ledger attestation result key v1\0"
_ACKNOWLEDGEMENT = b"ledger acknowledgement key v1\0"
_RECEIPT = b"ledger receipt key v1\0"
_WEBHOOK = b"ledger webhook key v1\0"


class LogKind(StrEnum):
    """Whose log it is."""

    TENANT = "tenant"
    SCOPE = "scope"
    PLATFORM = "platform"
    ANCHORS = "anchors"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSeeds:
    """Seeds (32 bytes) of the two keys that sign a log's checkpoints, in one generation."""

    ed25519: bytes = field(repr=False)
    mldsa44: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSeeds:
    """Seeds (32 bytes) of what only tenants have: attestation Ed25519, release and output HPKE.

    Release and output are None together: the tenant holds them.
    """

    attestation: bytes = field(repr=False)
    release: bytes | None = field(repr=False)
    output: bytes | None = field(repr=False)

    def seeds(self) -> list[bytes]:
        """Return those that are here.

        Raises:
            MalformedError: when it is one of release and output only.
        """
        if (self.release is None) != (self.output is None):
            raise MalformedError("a tenant's release and output key are both here, or both the tenant's own")
        return [seed for seed in (self.attestation, self.release, self.output) if seed is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKeys:
    """All keys of one log."""

    log_id: UUID
    kind: LogKind
    data_keys: tuple[DataKey, ...] = field(repr=False)
    signing: tuple[SigningSeeds, ...] = field(repr=False)
    acknowledgement_seed: bytes = field(repr=False)
    tenant: TenantSeeds | None = field(default=None, repr=False)
    erased_generations: int = 0

    def __post_init__(self) -> None:
        if [key.generation for key in self.data_keys] != list(range(len(self.data_keys))):
            raise MalformedError("a log's data keys are not generations from 0 without gaps")
        if self.erased_generations and self.kind is not LogKind.TENANT:
            raise MalformedError("only a tenant's keys are ever erased")
        if (self.kind is LogKind.ANCHORS or self.erased) == bool(self.data_keys):
            raise MalformedError("every log but the anchor log and an erased one has a data key")
        if (self.kind is LogKind.TENANT and not self.erased) != (self.tenant is not None):
            raise MalformedError("exactly tenants' logs have attestation, release and output keys")
        seeds = [seed for one in self.signing for seed in (one.ed25519, one.mldsa44)]
        if not seeds:
            raise MalformedError("a log has signing keys")
        seeds.append(self.acknowledgement_seed)
        if self.tenant is not None:
            seeds += self.tenant.seeds()
        if any(len(seed) != SEED_BYTES for seed in seeds):
            raise MalformedError(f"a seed is not {SEED_BYTES} bytes")

    @property
    def erased(self) -> bool:
        """Whether the data keys were destroyed."""
        return self.erased_generations > 0

    @property
    def data_key(self) -> DataKey:
        """The data key of the newest generation, which seals.

        Raises:
            ErasedError: when it was destroyed.
            UnknownError: for the anchor log, which has none.
        """
        if self.erased:
            raise ErasedError
        if not self.data_keys:
            raise UnknownError("the anchor log has no data key")
        return self.data_keys[-1]

    def ed25519_key(self, generation: int = -1) -> Ed25519PrivateKey:
        """Return the log's Ed25519 key (checkpoints) of a generation; the newest where none is named."""
        return ed25519.private_key(self.signing[generation].ed25519)

    def mldsa44_key(self, generation: int = -1) -> MLDSA44PrivateKey:
        """Return the log's ML-DSA-44 key (checkpoints) of a generation; the newest where none is named."""
        return MLDSA44PrivateKey.from_seed_bytes(self.signing[generation].mldsa44)

    def acknowledgement_key(self) -> Ed25519PrivateKey:
        """Return the key that signs acknowledgements of durable appends, and nothing else."""
        return ed25519.private_key(self.acknowledgement_seed)

    def result_key(self) -> Ed25519PrivateKey:
        """Return the key that signs attestation results, and nothing else; it follows from the acknowledgements' seed.

        Raises:
            UnknownError: when the log is not the platform's.
        """
        if self.kind is not LogKind.PLATFORM:
            raise UnknownError(f"the {self.kind} log {self.log_id} has no key of attestation results")
        return ed25519.private_key(hmac.digest(self.acknowledgement_seed, _RESULT, "sha256"))

    def attestation_key(self) -> Ed25519PrivateKey:
        """Return the tenant's key that certifies enclave keys.

        Raises:
            UnknownError: when the log is not a tenant's.
            ErasedError: when it was destroyed.
        """
        return ed25519.private_key(self._tenant().attestation)

    def receipt_key(self) -> Ed25519PrivateKey:
        """Return the key that signs receipts (RFC 9942) of this tenant's log. Raises as `attestation_key` does.

        It is derived from the attestation key's seed, which endorses it: keyrings made before there were receipts have
        it too, and nobody who holds it learns anything of that seed.
        """
        return ed25519.private_key(hmac.digest(self._tenant().attestation, _RECEIPT, "sha256"))

    def webhook_key(self) -> Ed25519PrivateKey:
        """Return the key that signs what is posted to this tenant's webhooks. Raises as `attestation_key` does.

        Derived as `receipt_key` is.
        """
        return ed25519.private_key(hmac.digest(self._tenant().attestation, _WEBHOOK, "sha256"))

    def release_key(self) -> hpke.PrivateKey:
        """Return the tenant's key to which inputs are sealed on arrival.

        Raises:
            UnknownError: when the log is not a tenant's, or the tenant holds the key itself.
            ErasedError: when it was destroyed.
        """
        return _held(self._tenant().release)

    def output_key(self) -> hpke.PrivateKey:
        """Return the tenant's key to which outputs are sealed. Raises as `release_key` does."""
        return _held(self._tenant().output)

    @property
    def own_custody(self) -> bool:
        """Whether the tenant itself holds what opens its inputs and outputs. Raises as `attestation_key` does."""
        return self._tenant().release is None

    def without_data_keys(self) -> "LogKeys":
        """Return what is left when all that opens content is gone: what signs for the log."""
        if self.erased:
            return self
        return replace(self, data_keys=(), tenant=None, erased_generations=len(self.data_keys))

    def with_next_generation(self, entropy: Entropy) -> "LogKeys":
        """Return the same keys and a data key of the next generation.

        Raises:
            ErasedError: when the data keys were destroyed.
        """
        if self.erased:
            raise ErasedError
        return replace(self, data_keys=(*self.data_keys, DataKey.create(len(self.data_keys), entropy)))

    def with_next_signing_keys(self, entropy: Entropy) -> "LogKeys":
        """Return the same keys and signing keys of the next generation."""
        return replace(self, signing=(*self.signing, _draw_signing(entropy)))

    def extends(self, older: "LogKeys") -> bool:
        """Tell whether these are those keys, or those and further generations: nothing lost, nothing changed."""
        if self.erased != older.erased:
            return False
        data_keys, signing = self.data_keys[: len(older.data_keys)], self.signing[: len(older.signing)]
        return replace(self, data_keys=data_keys, signing=signing) == older

    def to_bytes(self) -> bytes:
        """Return the form that is sealed into a file."""
        content: dict[str, Any] = {
            "acknowledgement_seed": self.acknowledgement_seed.hex(),
            "data_keys": [key.secret.hex() for key in self.data_keys],
            "kind": self.kind.value,
            "log_id": str(self.log_id),
            "signing": [{"ed25519": one.ed25519.hex(), "mldsa44": one.mldsa44.hex()} for one in self.signing],
        }
        if self.erased:
            content["erased_generations"] = self.erased_generations
        if self.tenant is not None:
            content["attestation_seed"] = self.tenant.attestation.hex()
            for name, seed in (("output_seed", self.tenant.output), ("release_seed", self.tenant.release)):
                if seed is not None:
                    content[name] = seed.hex()
        return canonical(content)

    @classmethod
    def from_bytes(cls, data: bytes) -> "LogKeys":
        """Read what `to_bytes` wrote.

        Raises:
            MalformedError: when it is anything else.
        """
        try:
            content = parse_canonical(data)
            kind, erased = LogKind(content["kind"]), int(content.get("erased_generations", 0))
            return cls(
                log_id=UUID(content["log_id"]),
                kind=kind,
                data_keys=tuple(DataKey(i, bytes.fromhex(key)) for i, key in enumerate(content["data_keys"])),
                signing=_signing(content),
                acknowledgement_seed=_acknowledgement_seed(content),
                tenant=_tenant_seeds(content) if kind is LogKind.TENANT and not erased else None,
                erased_generations=erased,
            )
        except (KeyError, ValueError, TypeError, AttributeError):
            raise MalformedError("a keyring file holds no log's keys") from None

    def _tenant(self) -> TenantSeeds:
        if self.erased:
            raise ErasedError
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


def create_log_keys(log_id: UUID, entropy: Entropy, kind: LogKind, *, own_custody: bool = False) -> LogKeys:
    """Draw all keys of a new log; with `own_custody` without a tenant's release and output key."""
    tenant = None
    if kind is LogKind.TENANT:
        tenant = TenantSeeds(
            attestation=entropy.bytes(SEED_BYTES),
            release=None if own_custody else entropy.bytes(SEED_BYTES),
            output=None if own_custody else entropy.bytes(SEED_BYTES),
        )
    return LogKeys(
        log_id=log_id,
        kind=kind,
        data_keys=() if kind is LogKind.ANCHORS else (DataKey.create(0, entropy),),
        signing=(_draw_signing(entropy),),
        acknowledgement_seed=entropy.bytes(SEED_BYTES),
        tenant=tenant,
    )


def _draw_signing(entropy: Entropy) -> SigningSeeds:
    return SigningSeeds(ed25519=entropy.bytes(SEED_BYTES), mldsa44=entropy.bytes(SEED_BYTES))


def _signing(content: dict[str, Any]) -> tuple[SigningSeeds, ...]:
    """Return the signing seeds by generation; the first release kept one pair, without a list."""
    pairs = content.get("signing") or [{"ed25519": content["ed25519_seed"], "mldsa44": content["mldsa44_seed"]}]
    return tuple(
        SigningSeeds(ed25519=bytes.fromhex(one["ed25519"]), mldsa44=bytes.fromhex(one["mldsa44"])) for one in pairs
    )


def _acknowledgement_seed(content: dict[str, Any]) -> bytes:
    """Return the seed of the acknowledgements' key; keys of the first release have none, so it is derived."""
    if "acknowledgement_seed" in content:
        return bytes.fromhex(content["acknowledgement_seed"])
    return hmac.digest(bytes.fromhex(content["ed25519_seed"]), _ACKNOWLEDGEMENT, "sha256")


def _tenant_seeds(content: dict[str, str]) -> TenantSeeds:
    release, output = content.get("release_seed"), content.get("output_seed")
    return TenantSeeds(
        attestation=bytes.fromhex(content["attestation_seed"]),
        release=None if release is None else bytes.fromhex(release),
        output=None if output is None else bytes.fromhex(output),
    )


def _held(seed: bytes | None) -> hpke.PrivateKey:
    if seed is None:
        raise UnknownError("the tenant itself holds this key (custody: tenant): name its wallet with --key FILE")
    return hpke.PrivateKey(seed)
