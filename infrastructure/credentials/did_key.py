"""did:key as credentials use it. The mathematics lies with the keys, so that keys import nothing from here."""

from infrastructure.keys.did_key import decode_base58, did_key, encode_base58, public_key, resolve, verification_method

__all__ = ["decode_base58", "did_key", "encode_base58", "public_key", "resolve", "verification_method"]
