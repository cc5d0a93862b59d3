"""Entries: their bytes, what opens them, and everything that must not."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from uuid import UUID

import cbor2
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import LedgerError, MalformedError, RefusedError, VerificationError
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.entry import MAX_ENTRY_BYTES, parse_entry
from infrastructure.keys.sealing import (
    MAX_SEALINGS,
    DataKey,
    EntryRecord,
    Sealer,
    encode_record,
    open_payload_with_stream_keys,
    open_with_stream_keys,
    payload_digest,
    sealed_size,
    stream_key,
)

ORIGIN = "ledger.example/t/5"
KEY = DataKey(1, bytes(range(32)))
STREAM = UUID("0198c0de-0000-7000-8000-000000000001")
OTHER = UUID("0198c0de-0000-7000-8000-000000000002")
RECORD = EntryRecord(STREAM, 0, "workload.submitted.v1", 1_767_225_600_000, {"dao": "ClimateDAO", "inputs": [1, None]})
FROZEN = (
    "d0835881a60103031832045834000000017a7c0f92fb8fe048d872772447b196f0cf6f2c73383d0eb85a17d3ffe86286fd12"
    "0941b7f4f838223cd449861ca371c3054c000102030405060708090a0b0fa101726c65646765722e6578616d706c652f742f"
    "3510781d6170706c69636174696f6e2f6c65646765722d656e7472792b636f7365a058af7f9235dc6345cce71050117b668c"
    "8f94288b5a1c49e359c110e2826c30ecfadda80f5d529e9dc20659ef5796d4ddab7d2b8b170d06f878787a1af04477c29552"
    "8b5af25bfef35f7c30af18cdd47cbe49d443776b2a6b5279d62b0863358c788d29d3ba2bfe702dde7b331bcbf251ef62d4f5"
    "33aeeae3c62d6e551e3438f95e3101219a8e4e3fccc09750088712f793230a11bccb7b8a0837fed71649933735a480e99e05"
    "5dfd0eaf40ec807155fea0"
)


class FixedEntropy:
    """Only for the frozen vector: repeats the bytes 0, 1, 2, ..."""

    def bytes(self, n: int) -> bytes:
        return bytes(range(n))


def sealer(key: DataKey = KEY, origin: str = ORIGIN) -> Sealer:
    return Sealer(origin, key, SystemEntropy())


def sealed(record: EntryRecord = RECORD) -> bytes:
    return sealer().seal(record.stream_id, encode_record(record))


def by_hand(origin: str, plaintext: bytes) -> bytes:
    """The wire format's section 1, written down once more with cbor2."""

    def mac(secret: bytes, message: bytes) -> bytes:
        return hmac.new(secret, message, hashlib.sha256).digest()

    iv = bytes(range(12))
    tag = mac(KEY.secret, b"ledger stream tag v1\0" + str(STREAM).encode())[:16]
    secret = mac(KEY.secret, b"ledger stream key v1\0" + tag)
    kid = KEY.generation.to_bytes(4, "big") + tag + mac(secret, b"ledger key commitment v1\0" + origin.encode())
    header = cbor2.dumps({1: 3, 3: 50, 4: kid, 5: iv, 15: {1: origin}, 16: "application/ledger-entry+cose"})
    aad = cbor2.dumps(["Encrypt0", header, b""])
    return cbor2.dumps(cbor2.CBORTag(16, [header, {}, AESGCM(secret).encrypt(iv, plaintext, aad)]))


def test_an_entry_equals_the_second_implementation_and_its_frozen_bytes() -> None:
    entry = Sealer(ORIGIN, KEY, FixedEntropy()).seal(STREAM, encode_record(RECORD))
    plaintext = (
        b'{"at":1767225600000,"event":{"dao":"ClimateDAO","inputs":[1,null]},'
        b'"stream":"0198c0de-0000-7000-8000-000000000001","topic":"workload.submitted.v1","version":0}'
    )
    assert encode_record(RECORD) == plaintext
    assert entry == by_hand(ORIGIN, plaintext)
    assert entry.hex() == FROZEN


@given(
    size=st.sampled_from([0, 7, 8, 200, 239, 240, 241, 65_000]),
    origin=st.sampled_from(["a", "l" * 23, "l" * 24, "l" * 255]),
)
def test_every_length_has_the_encoding_of_the_second_implementation(size: int, origin: str) -> None:
    entry = Sealer(origin, KEY, FixedEntropy()).seal(STREAM, bytes(size))
    assert entry == by_hand(origin, bytes(size))
    assert len(entry) == sealed_size(origin, size)


def test_what_is_sealed_opens_cached_or_not() -> None:
    one = sealer()
    entry = one.seal(STREAM, encode_record(RECORD))
    assert one.read(entry) == sealer().read(entry) == RECORD
    assert one.open(entry) == encode_record(RECORD)


def test_two_sealers_share_no_iv_and_none_repeats() -> None:
    ivs = [parse_entry(one.seal(STREAM, b"{}")).iv for one in (sealer(), sealer()) for _ in range(500)]
    assert len(set(ivs)) == 1000


def test_no_bit_of_an_entry_can_change() -> None:
    entry, reader = sealed(), sealer()
    for place in range(len(entry)):
        for bit in (0, 3, 7):
            changed = bytearray(entry)
            changed[place] ^= 1 << bit
            with pytest.raises((MalformedError, VerificationError)):
                reader.read(bytes(changed))


def reshaped(change: Callable[[dict[int, Any]], object]) -> bytes:
    """Seal with another header, under the right key, so that only the shape is wrong."""
    message = cbor2.loads(sealed())
    header = dict(cbor2.loads(message.value[0]))
    replacement = change(header)
    header_bytes = replacement if isinstance(replacement, bytes) else cbor2.dumps(header)
    secret = stream_key(KEY, STREAM).secret
    aad = cbor2.dumps(["Encrypt0", header_bytes, b""])
    ciphertext = AESGCM(secret).encrypt(header.get(5, bytes(12)), encode_record(RECORD), aad)
    return cbor2.dumps(cbor2.CBORTag(16, [header_bytes, {}, ciphertext]))


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.update({1: 1}),
        lambda header: header.update({3: 42}),
        lambda header: header.update({4: bytes(51)}),
        lambda header: header.update({5: bytes(13)}),
        lambda header: header.update({6: b""}),
        lambda header: header.pop(16),
        lambda header: header.update({15: {1: ORIGIN, 2: "x"}}),
        lambda header: header.update({15: {1: ORIGIN + " "}}),
        lambda header: header.update({15: {1: b"x"}}),
        lambda header: header.update({16: "application/cose"}),
        lambda header: header.update({1: 3.0}),
        lambda header: cbor2.dumps(dict(reversed(header.items()))),
        lambda header: cbor2.dumps(header) + b"\0",
        lambda header: b"\xa7" + cbor2.dumps(header)[1:] + b"\x01\x03",
    ],
)
def test_another_header_is_refused_even_under_the_right_key(change: Callable[[dict[int, Any]], object]) -> None:
    assert sealer().read(reshaped(lambda _: None)) == RECORD
    with pytest.raises(MalformedError):
        sealer().read(reshaped(change))


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry + b"\0",
        lambda entry: entry[1:],
        lambda entry: b"\xd8\x10" + entry[1:],
        lambda entry: cbor2.dumps(cbor2.CBORTag(17, cbor2.loads(entry).value)),
        lambda entry: cbor2.dumps(cbor2.CBORTag(16, [cbor2.loads(entry).value[0], {1: 2}, b""])),
        lambda entry: cbor2.dumps(cbor2.CBORTag(16, [cbor2.loads(entry).value[0], {}, None])),
        lambda entry: cbor2.dumps(cbor2.CBORTag(16, [cbor2.loads(entry).value[0], {}, bytes(15)])),
        lambda _: b"\x9b" + b"\xff" * 8,
        lambda _: b"\xd0" * 10_000,
        lambda _: b"",
        lambda _: bytes(MAX_ENTRY_BYTES + 1),
    ],
)
def test_another_outside_is_malformed(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(MalformedError):
        parse_entry(change(sealed()))


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_fail_otherwise(data: bytes) -> None:
    for candidate in (data, b"\xd0\x83" + data):
        with pytest.raises(MalformedError):
            parse_entry(candidate)


def test_another_origin_generation_or_key_does_not_open() -> None:
    entry = sealed()
    for other in (
        sealer(origin="ledger.example/t/6"),
        sealer(DataKey(2, KEY.secret)),
        sealer(DataKey(1, bytes(32))),
    ):
        with pytest.raises(VerificationError):
            other.read(entry)


def test_an_event_sealed_under_another_streams_key_is_refused() -> None:
    entry = sealer().seal(OTHER, encode_record(RECORD))
    fresh, used = sealer(), sealer()
    used.seal(OTHER, b"{}")
    used.seal(STREAM, b"{}")
    for reader in (fresh, used):
        with pytest.raises(VerificationError, match="tag"):
            reader.read(entry)
    key = stream_key(KEY, OTHER)
    with pytest.raises(VerificationError, match="another stream"):
        open_with_stream_keys(entry, {key.tag: key}, origin=ORIGIN)


def test_the_key_commitment_is_verified_before_decryption() -> None:
    message = cbor2.loads(sealed())
    header = dict(cbor2.loads(message.value[0]))
    header[4] = header[4][:20] + bytes(32)
    with pytest.raises(VerificationError, match="commitment"):
        sealer().read(cbor2.dumps(cbor2.CBORTag(16, [cbor2.dumps(header), {}, message.value[2]])))


def test_a_disclosed_stream_key_opens_its_stream_and_no_other() -> None:
    key = stream_key(KEY, STREAM)
    assert sealer().stream_key(STREAM) == key
    keys = {key.tag: key}
    assert open_with_stream_keys(sealed(), keys, origin=ORIGIN) == RECORD
    other = sealer().seal(OTHER, encode_record(EntryRecord(OTHER, 0, "a.b.v1", 0, {})))
    assert open_with_stream_keys(other, keys, origin=ORIGIN) is None
    with pytest.raises(VerificationError):
        open_with_stream_keys(sealed(), keys, origin="ledger.example/t/6")


def test_an_entry_over_the_limit_is_refused_and_its_size_known_beforehand() -> None:
    fits = MAX_ENTRY_BYTES - sealed_size(ORIGIN, 65_000) + 65_000
    assert len(sealer().seal(STREAM, bytes(fits))) == MAX_ENTRY_BYTES
    with pytest.raises(MalformedError):
        sealer().seal(STREAM, bytes(fits + 1))


def test_a_key_that_sealed_its_two_to_the_32_refuses() -> None:
    tired = Sealer(ORIGIN, KEY, SystemEntropy(), sealed_before=MAX_SEALINGS - 1)
    tired.seal(STREAM, b"{}")
    for _ in range(2):
        with pytest.raises(RefusedError, match="generation"):
            tired.seal(STREAM, b"{}")


@given(st.binary(max_size=100_000))
def test_a_payload_opens_under_its_stream_only(payload: bytes) -> None:
    one = sealer()
    stored = one.seal_payload(STREAM, payload)
    assert one.open_payload(STREAM, stored) == payload
    key = stream_key(KEY, STREAM)
    assert open_payload_with_stream_keys(stored, {key.tag: key}, origin=ORIGIN) == payload
    assert open_payload_with_stream_keys(stored, {}, origin=ORIGIN) is None
    assert payload_digest(stored) == hashlib.sha256(stored).digest()
    with pytest.raises(VerificationError):
        one.open_payload(OTHER, stored)


def test_an_entry_never_passes_as_a_payload_nor_a_payload_as_an_entry() -> None:
    one = sealer()
    with pytest.raises(VerificationError):
        one.open_payload(STREAM, sealed())
    with pytest.raises(MalformedError):
        one.read(one.seal_payload(STREAM, encode_record(RECORD)))


def test_keys_and_sealers_show_nothing() -> None:
    for shown in (repr(KEY), repr(stream_key(KEY, STREAM)), repr(sealer())):
        assert KEY.secret.hex() not in shown
        assert "\\x" not in shown.replace(repr(stream_key(KEY, STREAM).tag), "")


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\n", "é", "x" * 256])
def test_origins_that_notes_cannot_carry_are_refused(origin: str) -> None:
    with pytest.raises(MalformedError):
        sealer(origin=origin)


def test_keys_of_wrong_shape_are_refused() -> None:
    wrong: list[Callable[[], object]] = [
        lambda: DataKey(-1, bytes(32)),
        lambda: DataKey(2**32, bytes(32)),
        lambda: DataKey(0, b""),
    ]
    for make in wrong:
        with pytest.raises(LedgerError):
            make()
