r"""Sealing and opening of entries and payloads (wire format, section 1).

Invariants:
- Every sealing draws its own IV from the entropy port; at most 2^32 sealings per data key, hence per K_s, are made: the
  sealer counts on from what the log already held, then refuses.
- Opening verifies origin, generation and the key commitment c before it decrypts, and afterwards that the plaintext's
  stream is the one that the tag stands for.
- An entry's plaintext begins with `{`, a payload's with `ledger payload v1\0`: neither passes as the other [the
  outside is the same, and a submitter chooses a payload's bytes].
- Sealed bytes are made once and never written again from their content.
"""

import hashlib
import hmac
from collections.abc import Mapping
from itertools import count
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import MalformedError, RefusedError, VerificationError
from infrastructure.entropy import Entropy
from infrastructure.keys.entry import (
    IV_BYTES,
    MAX_ENTRY_BYTES,
    MAX_PAYLOAD_BYTES,
    EntryHeader,
    ParsedEntry,
    check_origin,
    parse_entry,
)
from infrastructure.keys.plaintext import EntryRecord, decode_record, encode_record
from infrastructure.keys.stream_keys import DataKey, StreamKey, key_commitment, key_id, stream_key, stream_secret

__all__ = [
    "DataKey",
    "EntryRecord",
    "Sealer",
    "StreamKey",
    "decode_record",
    "encode_record",
    "open_payload_with_stream_keys",
    "open_with_stream_keys",
    "payload_digest",
    "sealed_size",
    "stream_key",
]

MAX_SEALINGS: Final = 2**32
"""Sealings under one key with random 96-bit IVs (NIST SP 800-38D 8.3)."""

MAX_SEALED_PAYLOAD: Final = MAX_PAYLOAD_BYTES + 1024
"""Bytes of a sealed payload, at most."""

_PAYLOAD = b"ledger payload v1\0"
_CACHED_STREAMS = 65_536


class _Stream:
    """A stream's cipher and fixed bytes, derived once."""

    __slots__ = ("cipher", "commitment", "header", "key")

    def __init__(self, key: StreamKey, origin: str) -> None:
        self.key = key
        self.commitment = key_commitment(key.secret, origin)
        self.cipher = AESGCM(key.secret)
        self.header = EntryHeader.of(key_id(key.generation, key.tag, self.commitment), origin)


class Sealer:
    """Seals and opens the entries of one log under one generation of its data key.

    Args:
        origin: the log's origin.
        data_key: K and its generation.
        entropy: where IVs come from.
        sealed_before: sealings made under this key so far, at least (the log's size will do).
    """

    def __init__(self, origin: str, data_key: DataKey, entropy: Entropy, *, sealed_before: int = 0) -> None:
        self.origin = check_origin(origin)
        self._data_key = data_key
        self._entropy = entropy
        self._counter = count(sealed_before)
        self.sealed = sealed_before
        self._streams: dict[int, _Stream] = {}  # by the id's number: it hashes several times faster than the id
        self._by_tag: dict[bytes, _Stream] = {}

    @property
    def generation(self) -> int:
        """The generation of the key that this sealer holds."""
        return self._data_key.generation

    def seal(self, stream_id: UUID, plaintext: bytes) -> bytes:
        """Return the entry that holds a plaintext (from `encode_record`).

        Raises:
            MalformedError: when the entry would be longer than 65,535 bytes.
            RefusedError: when the key has sealed its 2^32.
        """
        entry = self._seal(stream_id, plaintext)
        if len(entry) > MAX_ENTRY_BYTES:
            raise MalformedError(f"an entry would be {len(entry)} bytes, more than {MAX_ENTRY_BYTES}")
        return entry

    def open(self, entry: bytes) -> bytes:
        """Return an entry's plaintext, checked as `read` checks it."""
        return encode_record(self.read(entry))

    def read(self, entry: bytes) -> EntryRecord:
        """Open an entry and decode what it holds.

        Raises:
            MalformedError: when entry or plaintext are not of their form.
            VerificationError: when it is another log's, another key's, another stream's, or was changed.
        """
        return self.read_parsed(parse_entry(entry))

    def read_parsed(self, parsed: ParsedEntry) -> EntryRecord:
        """Open an entry that was taken apart already. Returns and raises as `read` does."""
        _check_origin(parsed, self.origin)
        if parsed.generation != self.generation:
            raise VerificationError(f"an entry of key generation {parsed.generation}, not {self.generation}")
        known = self._by_tag.get(parsed.tag)
        if known is not None:
            record = decode_record(_decrypt(parsed, known.cipher, known.commitment))
            stream = known if record.stream_id == known.key.stream_id else self._stream(record.stream_id)
        else:
            secret = stream_secret(self._data_key, parsed.tag)
            commitment = key_commitment(secret, self.origin)
            record = decode_record(_decrypt(parsed, AESGCM(secret), commitment))
            stream = self._stream(record.stream_id)
        if stream.key.tag != parsed.tag:
            raise VerificationError("an entry's tag is not that of the stream inside it")
        return record

    def seal_payload(self, stream_id: UUID, payload: bytes) -> bytes:
        r"""Seal bytes that are too long for an entry, under the key of the stream whose event names them.

        The plaintext is `ledger payload v1\0` || payload; it is stored under `payload_digest(sealed)`.

        Raises:
            MalformedError: when it is longer than MAX_PAYLOAD_BYTES.
            RefusedError: when the key has sealed its 2^32.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise MalformedError(f"a payload of {len(payload)} bytes is longer than {MAX_PAYLOAD_BYTES}")
        return self._seal(stream_id, _PAYLOAD + payload)

    def open_payload(self, stream_id: UUID, sealed: bytes) -> bytes:
        """Return the payload that was sealed under a stream's key. Raises as `read` does."""
        return _open_payload(sealed, self._stream(stream_id).key, self.origin)

    def stream_key(self, stream_id: UUID) -> StreamKey:
        """Return K_s of a stream, for its disclosure."""
        return self._stream(stream_id).key

    def _seal(self, stream_id: UUID, plaintext: bytes) -> bytes:
        number = self.sealed = next(self._counter) + 1
        if number > MAX_SEALINGS:
            raise RefusedError("the data key has sealed 2^32 times: start a new generation (`key rotate`)")
        stream = self._stream(stream_id)
        header = stream.header
        iv = self._entropy.bytes(IV_BYTES)
        return header.wrap(iv, stream.cipher.encrypt(iv, plaintext, header.additional_data(iv)))

    def _stream(self, stream_id: UUID) -> _Stream:
        stream = self._streams.get(stream_id.int)
        if stream is None:
            stream = _Stream(stream_key(self._data_key, stream_id), self.origin)
            if len(self._streams) >= _CACHED_STREAMS:
                self._streams.clear()  # derived again when needed
                self._by_tag.clear()
            self._streams[stream_id.int] = self._by_tag[stream.key.tag] = stream
        return stream

    def __repr__(self) -> str:
        return f"Sealer(origin={self.origin!r}, generation={self.generation})"


def open_with_stream_keys(entry: bytes, keys: Mapping[bytes, StreamKey], *, origin: str) -> EntryRecord | None:
    """Open an entry with disclosed stream keys, found by tag; None when its stream's key was not disclosed.

    Raises:
        MalformedError: when entry or plaintext are not of their form.
        VerificationError: when it is another log's, the key is not its key, or it holds another stream's event.
    """
    parsed = parse_entry(entry)
    _check_origin(parsed, origin)
    key = keys.get(parsed.tag)
    if key is None:
        return None
    _check_key(parsed, key)
    record = decode_record(_decrypt(parsed, AESGCM(key.secret), key_commitment(key.secret, origin)))
    if record.stream_id != key.stream_id:
        raise VerificationError("an entry holds an event of another stream than its key was disclosed for")
    return record


def open_payload_with_stream_keys(sealed: bytes, keys: Mapping[bytes, StreamKey], *, origin: str) -> bytes | None:
    """Open a payload with disclosed stream keys. Returns and raises as `open_with_stream_keys` does."""
    key = keys.get(parse_entry(sealed, max_bytes=MAX_SEALED_PAYLOAD).tag)
    return None if key is None else _open_payload(sealed, key, origin)


def payload_digest(sealed: bytes) -> bytes:
    """Return H(sealed bytes), under which a payload is stored and named."""
    return hashlib.sha256(sealed).digest()


def sealed_size(origin: str, plaintext_bytes: int) -> int:
    """Return how long the entry of a plaintext of this length will be, in bytes."""
    header = EntryHeader.of(bytes(52), origin)
    return len(header.wrap(bytes(IV_BYTES), bytes(plaintext_bytes + 16)))


def _open_payload(sealed: bytes, key: StreamKey, origin: str) -> bytes:
    parsed = parse_entry(sealed, max_bytes=MAX_SEALED_PAYLOAD)
    _check_origin(parsed, origin)
    _check_key(parsed, key)
    plaintext = _decrypt(parsed, AESGCM(key.secret), key_commitment(key.secret, origin))
    if not plaintext.startswith(_PAYLOAD):
        raise VerificationError("sealed bytes are an entry, not a payload")
    return plaintext[len(_PAYLOAD) :]


def _check_origin(parsed: ParsedEntry, origin: str) -> None:
    if parsed.origin != origin:
        raise VerificationError(f"sealed for the log {parsed.origin}, not {origin}")


def _check_key(parsed: ParsedEntry, key: StreamKey) -> None:
    if (parsed.generation, parsed.tag) != (key.generation, key.tag):
        raise VerificationError("sealed bytes belong to another stream or key generation")


def _decrypt(parsed: ParsedEntry, cipher: AESGCM, commitment: bytes) -> bytes:
    if not hmac.compare_digest(commitment, parsed.commitment):
        raise VerificationError("the key is not the one that sealed this (key commitment)")
    try:
        return cipher.decrypt(parsed.iv, parsed.ciphertext, parsed.header.additional_data(parsed.iv))
    except InvalidTag:
        raise VerificationError("sealed bytes were changed") from None
