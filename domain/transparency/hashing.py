"""Hashes of a Merkle tree (RFC 9162 2.1.1).

Invariants:
- Leaves and nodes are hashed under different prefixes, so no inner node passes as a leaf.
- The root of the empty tree is the hash of the empty string.
"""

import hashlib

HASH_BYTES = 32
"""Length of every hash here (SHA-256)."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of the tree of size 0."""

_sha256 = hashlib.sha256


def leaf_hash(entry: bytes) -> bytes:
    """Return the 32-byte hash of one entry, `SHA-256(0x00 || entry)` (RFC 9162 2.1.1)."""
    return _sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of an inner node, `SHA-256(0x01 || left || right)` (RFC 9162 2.1.1)."""
    return _sha256(b"\x01" + left + right).digest()
