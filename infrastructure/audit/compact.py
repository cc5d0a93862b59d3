"""Maps of what a long audit can't forget, in some 25 bytes each: from any key to a value of fixed width.

Invariants:
- A key is kept as a 112-bit keyed fingerprint behind 16 bits that choose its bucket. The key is drawn anew for each
  audit [or whoever wrote the log could choose keys that fall into one bucket, or two with one fingerprint].
- What is set is also handed to `record`, whole: an audit that is resumed fills its maps from those records.
"""

from collections.abc import Callable
from hashlib import blake2b

SALT_BYTES = 16
_FINGERPRINT_BYTES = 16
_BUCKET_BITS = 16
_BUCKET_BYTES = _BUCKET_BITS // 8


class CompactMap:
    """A map that holds fingerprints and values one after the other, in 65,536 rows of bytes.

    Args:
        width: of a value, in bytes.
        salt: the fingerprints' key, 16 random bytes.
        record: called with the record (fingerprint and value) of everything that is set.
    """

    def __init__(self, width: int, salt: bytes, record: Callable[[bytes], object] | None = None) -> None:
        self.width = width
        self.record_bytes = _FINGERPRINT_BYTES + width
        self._salt = salt
        self._record = record
        self._rows: list[bytearray | None] = [None] * (1 << _BUCKET_BITS)
        self._step = self.record_bytes - _BUCKET_BYTES
        self.count = 0

    def get(self, key: bytes) -> bytes | None:
        """Return a key's value, or None."""
        fingerprint = self._fingerprint(key)
        row, at = self._find(fingerprint)
        return None if row is None or at < 0 else bytes(row[at : at + self.width])

    def set(self, key: bytes, value: bytes) -> None:
        """Set a key's value."""
        record = self._fingerprint(key) + value
        self.load(record)
        if self._record is not None:
            self._record(record)

    def setdefault(self, key: bytes, value: bytes) -> bytes:
        """Set a key's value if it has none; return the value that it has then."""
        fingerprint = self._fingerprint(key)
        row, at = self._find(fingerprint)
        if row is not None and at >= 0:
            return bytes(row[at : at + self.width])
        self._add(row, fingerprint + value)
        if self._record is not None:
            self._record(fingerprint + value)
        return value

    def load(self, record: bytes) -> None:
        """Set what a record says."""
        row, at = self._find(record[:_FINGERPRINT_BYTES])
        if row is None or at < 0:
            self._add(row, record)
        else:
            row[at : at + self.width] = record[_FINGERPRINT_BYTES:]

    def _add(self, row: bytearray | None, record: bytes) -> None:
        if row is None:
            self._rows[int.from_bytes(record[:_BUCKET_BYTES])] = bytearray(record[_BUCKET_BYTES:])
        else:
            row += record[_BUCKET_BYTES:]
        self.count += 1

    def _find(self, fingerprint: bytes) -> tuple[bytearray | None, int]:
        """Return a fingerprint's row, and where its value lies in it; -1 if nowhere."""
        row, rest = self._rows[int.from_bytes(fingerprint[:_BUCKET_BYTES])], fingerprint[_BUCKET_BYTES:]
        at = -1 if row is None else row.find(rest)
        while row is not None and at % self._step and at >= 0:  # bytes of two neighbours that look like it
            at = row.find(rest, at + 1)
        return row, at + len(rest) if at >= 0 else -1

    def _fingerprint(self, key: bytes) -> bytes:
        return blake2b(key, digest_size=_FINGERPRINT_BYTES, key=self._salt).digest()
