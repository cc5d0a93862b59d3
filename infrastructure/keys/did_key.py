"""did:key of Ed25519 keys (W3C CCG did:key v0.7; Multikey 0xed01) and the base58-btc that carries them.

Invariants:
- Parsing is strict and bounded, and printing is its exact inverse: one key has one DID.
- Only Ed25519 is known; every other key type is refused by name.
"""

from functools import lru_cache

from domain.errors import MalformedError
from infrastructure.keys.ed25519 import KEY_BYTES, check_public_key

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {symbol: value for value, symbol in enumerate(_ALPHABET)}
_PAIRS = {high + low: 58 * tens + ones for high, tens in _VALUES.items() for low, ones in _VALUES.items()}
"""Two symbols at a time take half as long."""
_PRINTED = [high + low for high in _ALPHABET for low in _ALPHABET]
_MAX_SYMBOLS = 128
_GROUP_SYMBOLS = 10
_GROUP = 58**_GROUP_SYMBOLS
"""Symbols that fit into a machine word together: long division by one of them at a time takes three times as long."""
_ED25519_MULTICODEC = b"\xed\x01"
_PREFIX = "did:key:"


def encode_base58(data: bytes) -> str:
    """Return multibase base58-btc: `z` and the digits, one `1` per leading zero byte."""
    number = int.from_bytes(data)
    pairs: list[str] = []
    while number:
        number, group = divmod(number, _GROUP)
        for _ in range(_GROUP_SYMBOLS // 2):
            group, pair = divmod(group, 3364)
            pairs.append(_PRINTED[pair])
    pairs.reverse()
    digits = "".join(pairs).lstrip("1")
    return "z" + "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def decode_base58(text: str) -> bytes:
    """Return the bytes of a multibase base58-btc string.

    Raises:
        MalformedError: when it doesn't start with `z`, holds a foreign symbol, or is longer than 129 characters.
    """
    if not text.startswith("z") or len(text) > _MAX_SYMBOLS + 1:
        raise MalformedError("not a multibase base58-btc value (z...) of sensible length")
    if text[1:].strip(_ALPHABET):
        raise MalformedError("a base58 value holds a symbol outside its alphabet")
    number = 0
    for start in range(1, len(text), _GROUP_SYMBOLS):
        group, symbols = 0, text[start : start + _GROUP_SYMBOLS]
        for at in range(0, len(symbols) - 1, 2):
            group = group * 3364 + _PAIRS[symbols[at : at + 2]]
        if len(symbols) % 2:
            group = group * 58 + _VALUES[symbols[-1]]
        number = number * (_GROUP if len(symbols) == _GROUP_SYMBOLS else 58 ** len(symbols)) + group
    zeros = len(text) - 1 - len(text[1:].lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)


@lru_cache(maxsize=1024)
def did_key(public: bytes) -> str:
    """Return `did:key:z6Mk...` of a 32-byte Ed25519 public key."""
    return _PREFIX + encode_base58(_ED25519_MULTICODEC + check_public_key(public))


def verification_method(public: bytes) -> str:
    """Return the DID URL of the key inside its own DID document: `did:key:z...#z...`."""
    did = did_key(public)
    return f"{did}#{did.removeprefix(_PREFIX)}"


@lru_cache(maxsize=1024)
def public_key(did: str) -> bytes:
    """Return the 32-byte Ed25519 public key of a did:key.

    Raises:
        MalformedError: when it is not a did:key of an Ed25519 key.
    """
    if not did.startswith(_PREFIX):
        raise MalformedError("not a did:key")
    data = decode_base58(did.removeprefix(_PREFIX))
    if data[:2] != _ED25519_MULTICODEC or len(data) != 2 + KEY_BYTES:
        raise MalformedError("a did:key that is not an Ed25519 key")
    return check_public_key(data[2:])


def resolve(method: str) -> bytes:
    """Return the public key that a did:key verification method names.

    Raises:
        MalformedError: when the fragment doesn't repeat the key, or the DID is none.
    """
    did, separator, fragment = method.partition("#")
    public = public_key(did)
    if not separator or did.removeprefix(_PREFIX) != fragment:
        raise MalformedError("a did:key verification method is the DID, #, and the same key again")
    return public
