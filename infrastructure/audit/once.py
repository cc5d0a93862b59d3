"""What may stand only once in a log: a statement's (iss, jti), an enclave's key, the verdict on an execution.

Invariants:
- The first entry that holds it has it for ever. The same entry may hold it again, with the same content: several sign
  one payload.
"""

from domain.errors import VerificationError
from infrastructure.audit.compact import CompactMap

INDEX_BYTES = 8


class Once:
    """Remembers the entry of each.

    Args:
        places: leaf index (8 bytes) by key.
    """

    def __init__(self, places: CompactMap) -> None:
        self._places = places
        self._here = -1
        self._contents: dict[bytes, bytes] = {}

    def holder(self, key: bytes) -> int | None:
        """Return the leaf index of the entry that has a key, or None."""
        place = self._places.get(key)
        return None if place is None else int.from_bytes(place)

    def claim(self, key: bytes, leaf_index: int, content: bytes, otherwise: str) -> None:
        """Take a key for an entry.

        Args:
            key: whose.
            leaf_index: the entry's. Entries come in order.
            content: what stands there.
            otherwise: what to say where another entry, or other content, has it; `{}` is that entry's leaf index.

        Raises:
            VerificationError: then.
        """
        if leaf_index != self._here:
            self._here, self._contents = leaf_index, {}
        place = int.from_bytes(self._places.setdefault(key, leaf_index.to_bytes(INDEX_BYTES)))
        if place != leaf_index:
            raise VerificationError(otherwise.format(place))
        if self._contents.setdefault(key, content) != content:
            raise VerificationError(otherwise.format(leaf_index))
