"""All generations of one log's data key together: the newest seals, each opens what it sealed.

Invariants:
- Rotation rewrites nothing: an entry names its generation, and is opened with that.
- Sealings are counted per generation; rotation is due long before the bound at which the sealer refuses.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from domain.errors import VerificationError
from infrastructure.entropy import Entropy
from infrastructure.keys.at_rest import AtRest
from infrastructure.keys.entry import parse_entry
from infrastructure.keys.plaintext import EntryRecord
from infrastructure.keys.sealing import MAX_SEALED_PAYLOAD, Sealer
from infrastructure.keys.stream_keys import DataKey, StreamKey

ROTATION_DUE: Final = 2**28
"""Sealings under one generation after which the next one is due: a sixteenth of what a key may seal at most."""


class UnknownGenerationError(VerificationError):
    """An entry was sealed with a generation that is not held: keys may have been rotated since they were read."""


class LogSealer:
    """Seals and opens the entries and payloads of one log.

    Args:
        origin: the log's origin.
        data_keys: all generations, oldest first; there is at least one.
        entropy: where IVs come from.
        sealed_before: sealings made with the newest generation so far, at least.
    """

    def __init__(self, origin: str, data_keys: Sequence[DataKey], entropy: Entropy, *, sealed_before: int = 0) -> None:
        *older, newest = data_keys
        self._sealers = {key.generation: Sealer(origin, key, entropy) for key in older}
        self._newest = self._sealers[newest.generation] = Sealer(origin, newest, entropy, sealed_before=sealed_before)
        self.at_rest = AtRest(data_keys, entropy)

    @property
    def generation(self) -> int:
        """The generation that seals."""
        return self._newest.generation

    @property
    def sealed(self) -> int:
        """How often the newest generation has sealed, at least."""
        return self._newest.sealed

    def seal(self, stream_id: UUID, plaintext: bytes) -> bytes:
        """Return the entry that holds a plaintext. Raises as `Sealer.seal` does."""
        return self._newest.seal(stream_id, plaintext)

    def read(self, entry: bytes) -> EntryRecord:
        """Open an entry of any generation. Raises as `Sealer.read` does.

        Raises:
            UnknownGenerationError: when it is of a generation that is not held.
        """
        parsed = parse_entry(entry)
        return self._of(parsed.generation).read_parsed(parsed)

    def seal_payload(self, stream_id: UUID, payload: bytes) -> bytes:
        """Seal bytes that are too long for an entry. Raises as `Sealer.seal_payload` does."""
        return self._newest.seal_payload(stream_id, payload)

    def open_payload(self, stream_id: UUID, sealed: bytes) -> bytes:
        """Open a payload of any generation. Raises as `read` does."""
        generation = parse_entry(sealed, max_bytes=MAX_SEALED_PAYLOAD).generation
        return self._of(generation).open_payload(stream_id, sealed)

    def stream_keys(self, stream_id: UUID) -> tuple[StreamKey, ...]:
        """Return K_s of a stream in every generation, for its disclosure."""
        return tuple(sealer.stream_key(stream_id) for sealer in self._sealers.values())

    def _of(self, generation: int) -> Sealer:
        sealer = self._sealers.get(generation)
        if sealer is None:
            raise UnknownGenerationError(f"an entry of key generation {generation}, which the keyring does not hold")
        return sealer

    def __repr__(self) -> str:
        return f"LogSealer({self._newest!r})"
