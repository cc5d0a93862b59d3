"""The little DER (X.690) that the vendors' certificate extensions need."""

_INTEGER, _OCTETS, _OID, _ENUMERATED, _BOOLEAN, _IA5, _SEQUENCE = 0x02, 0x04, 0x06, 0x0A, 0x01, 0x16, 0x30
_SHORT = 0x80
_ARC = 40


def integer(value: int) -> bytes:
    """Return an INTEGER from 0."""
    return _tagged(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def enumerated(value: int) -> bytes:
    """Return an ENUMERATED from 0 to 127."""
    return _tagged(_ENUMERATED, bytes((value,)))


def boolean(*, value: bool) -> bytes:
    """Return a BOOLEAN."""
    return _tagged(_BOOLEAN, b"\xff" if value else b"\0")


def octets(value: bytes) -> bytes:
    """Return an OCTET STRING."""
    return _tagged(_OCTETS, value)


def ia5(text: str) -> bytes:
    """Return an IA5String."""
    return _tagged(_IA5, text.encode("ascii"))


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE."""
    return _tagged(_SEQUENCE, b"".join(parts))


def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    return _tagged(_OID, bytes((first * _ARC + second,)) + b"".join(_base_128(part) for part in rest))


def _base_128(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | _SHORT)
    return bytes(reversed(digits))


def _tagged(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < _SHORT:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, _SHORT | len(size))) + size + content
