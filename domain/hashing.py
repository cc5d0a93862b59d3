"""SHA-256 as the formats write it: 64 lowercase hexadecimal digits."""

from hashlib import sha256


def sha256_hex(data: bytes) -> str:
    """Return H(data) as 64 lowercase hex digits (wire formats 4)."""
    return sha256(data).hexdigest()
