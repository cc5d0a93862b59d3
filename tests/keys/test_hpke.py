"""HPKE: what `cryptography` seals is opened by an implementation written here from the drafts."""

import hashlib
import hmac
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, VerificationError
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import hpke

SEED = bytes(range(32))
INFO = b"ledger input v1\0"


def hmac256(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)


def labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac256(salt or bytes(32), b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    assert length <= 32
    return hmac256(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info + b"\x01")[:length]


def open_by_hand(seed: bytes, sealed: bytes, info: bytes) -> bytes:
    """X-Wing decapsulation and the key schedule of RFC 9180 5.1, base mode, HKDF-SHA256 (1), AES-256-GCM (2)."""
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    enc_mlkem, enc_x25519, ciphertext = sealed[:1088], sealed[1088:1120], sealed[1120:]
    shared_mlkem = mlkem.decapsulate(enc_mlkem)
    shared_x25519 = x25519.exchange(X25519PublicKey.from_public_bytes(enc_x25519))
    public_x25519 = x25519.public_key().public_bytes_raw()
    secret = hashlib.sha3_256(shared_mlkem + shared_x25519 + enc_x25519 + public_x25519 + b"\\.//^\\").digest()
    suite = b"HPKE" + struct.pack(">HHH", 0x647A, 1, 2)
    context = b"\0" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    prk = labeled_extract(suite, secret, b"secret", b"")
    key = labeled_expand(suite, prk, b"key", context, 32)
    nonce = labeled_expand(suite, prk, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, ciphertext, b"")


def test_an_independent_implementation_opens_what_is_sealed_and_so_confirms_kem_id_and_orders() -> None:
    key = hpke.PrivateKey(SEED)
    assert open_by_hand(SEED, hpke.seal(key.public, b"salt and input", INFO), INFO) == b"salt and input"


def test_the_public_key_is_that_of_the_x_wing_draft_for_this_seed() -> None:
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    public = hpke.PrivateKey(seed).public
    assert public.startswith(bytes.fromhex("e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5"))
    assert len(public) == hpke.PUBLIC_KEY_BYTES


@given(plaintext=st.binary(max_size=200), info=st.binary(max_size=200))
def test_what_is_sealed_opens_with_the_same_info(plaintext: bytes, info: bytes) -> None:
    key = hpke.PrivateKey(SEED)
    sealed = hpke.seal(key.public, plaintext, info)
    assert len(sealed) == len(plaintext) + hpke.OVERHEAD_BYTES
    assert key.open(sealed, info) == plaintext


def test_another_info_another_key_and_changed_bytes_are_refused() -> None:
    key = hpke.generate(SystemEntropy())
    sealed = hpke.seal(key.public, b"secret", INFO)
    with pytest.raises(VerificationError):
        key.open(sealed, b"ledger output v1\0")
    with pytest.raises(VerificationError):
        hpke.generate(SystemEntropy()).open(sealed, INFO)
    for place in (0, 1087, 1088, 1119, 1120, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(VerificationError):
            key.open(bytes(changed), INFO)
    for length in (0, 100, 1120, 1135):
        with pytest.raises(VerificationError):
            key.open(sealed[:length], INFO)


def test_keys_of_wrong_length_or_value_are_refused() -> None:
    with pytest.raises(MalformedError):
        hpke.PrivateKey(bytes(31))
    with pytest.raises(MalformedError):
        hpke.seal(bytes(1215), b"", b"")
    low_order = hpke.PrivateKey(SEED).public[:1184] + bytes(32)
    with pytest.raises(MalformedError):
        hpke.seal(low_order, b"", b"")


def test_a_private_key_survives_its_bytes_and_shows_nothing() -> None:
    key = hpke.generate(SystemEntropy())
    again = hpke.PrivateKey(key.to_bytes())
    assert again.public == key.public
    assert key.to_bytes().hex() not in repr(key)
    assert repr(key.to_bytes()) not in repr(key)
