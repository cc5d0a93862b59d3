r"""Keeps a state of the fold, sealed, for whoever begins later.

Invariants:
- A state is kept as a batch left it, so it is the same whoever kept it, and never wrong: only older than another one.
- It is sealed in parts under HMAC(cell secret, "ledger checkpoint key v1\0"), each for its place; what does not open,
  is not whole or is of another engine counts as not there: the views give the state again.
"""

import hashlib
import hmac
import struct
import zlib
from typing import Final

import orjson

from domain.errors import VerificationError
from infrastructure.keys.at_rest import AtRest
from infrastructure.keys.stream_keys import DataKey
from infrastructure.ledger import Ledger
from infrastructure.postgres.checkpoints import Checkpoints
from infrastructure.redeciding.replay import Kept

DECIDER, ROUNDS = "decider", "rounds"
"""Who keeps states."""

_KEY = b"ledger checkpoint key v1\0"
_CONTEXT = b"ledger checkpoint v1\0"
_HEAD: Final = struct.Struct(">I32s")
_PART_BYTES: Final = 1 << 20


class StateStore:
    """The kept states of one cell."""

    def __init__(self, ledger: Ledger) -> None:
        self._rows = Checkpoints(ledger.datastore)
        key = hmac.digest(ledger.keyring.platform_secrets().cell, _KEY, hashlib.sha256)
        self._cipher = AtRest([DataKey(0, key)], ledger.entropy)

    def put(self, name: str, kept: Kept) -> None:
        """Keep a state in place of the one before of this name."""
        whole = zlib.compress(orjson.dumps(kept._asdict()), 1)  # not sorted: a state's order is part of it
        data = _HEAD.pack(-(-(len(whole) + _HEAD.size) // _PART_BYTES), hashlib.sha256(whole).digest()) + whole
        pieces = [data[at : at + _PART_BYTES] for at in range(0, len(data), _PART_BYTES)]
        self._rows.put(name, [self._cipher.seal(_context(name, part), piece) for part, piece in enumerate(pieces)])

    def get(self, name: str, engine: str, *, last_position: int) -> Kept | None:
        """Return the state that is kept under a name; None where there is none that can be gone on from.

        Args:
            name: whose.
            engine: digest of the engine that goes on.
            last_position: of the feed, up to which there are views: a state that is newer is not gone on from.
        """
        try:
            sealed = self._rows.read(name)
            data = b"".join(self._cipher.open(_context(name, part), piece) for part, piece in enumerate(sealed))
            parts, digest = _HEAD.unpack_from(data)
            if parts != len(sealed) or hashlib.sha256(data[_HEAD.size :]).digest() != digest:
                return None
            kept = Kept(**orjson.loads(zlib.decompress(data[_HEAD.size :])))
        except (VerificationError, struct.error, zlib.error, ValueError, TypeError):
            return None
        return kept if kept.engine == engine and kept.position <= last_position else None

    def newest(self, engine: str, *, last_position: int, names: tuple[str, ...] = (DECIDER, ROUNDS)) -> Kept | None:
        """Return the newest state that is kept and can be gone on from, if there is one."""
        known = [self.get(name, engine, last_position=last_position) for name in names]
        return max((one for one in known if one is not None), key=lambda one: one.position, default=None)


def _context(name: str, part: int) -> bytes:
    return _CONTEXT + name.encode() + struct.pack(">I", part)
