"""Verifiers that others wrote take what leaves here, as far as the docstring of the receipt says they can."""

import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infrastructure.cacs.receipt import parse_receipt
from infrastructure.keys import ed25519
from tests.cacs.conftest import Scene

scitt_cose = pytest.importorskip("scitt_cose")


def pem(public: bytes) -> bytes:
    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def receipt_key(scene: Scene) -> bytes:
    return ed25519.public_bytes(scene.cell.ledger.keyring.get(scene.member.log_id).receipt_key())


def test_a_stock_verifier_verifies_the_statement(scene: Scene) -> None:
    found = scitt_cose.parse_signed_statement(scene.forms["scitt"], public_key_pem=pem(scene.tenant_key))
    assert found["signature_verified"] is True
    assert found["content_type"] == "application/ledger-cac+json"
    assert found["subject"] == scene.real["output_address"]
    assert json.loads(found["payload"]) == scene.real
    wrong = scitt_cose.parse_signed_statement(scene.forms["scitt"], public_key_pem=pem(receipt_key(scene)))
    assert wrong["signature_verified"] is False


def test_a_stock_verifier_verifies_the_receipt_over_the_sealed_entry(scene: Scene) -> None:
    (receipt,) = scitt_cose.extract_receipts(scene.forms["scitt"])
    entry = parse_receipt(receipt).entry
    found = scitt_cose.verify_receipt(receipt, leaf_entry_hex=entry.hex(), log_public_key_pem=pem(receipt_key(scene)))
    assert (found.ok, found.errors) == (True, [])
    assert found.issuer == scene.member.tenant.origin
    assert found.subject == scene.real["output_address"]
    assert found.tree_size is not None


def test_a_stock_verifier_that_takes_the_statement_for_the_entry_refuses(scene: Scene) -> None:
    """The log holds sealed entries, never statements: said in the docstring, and not hidden by a tree of one leaf."""
    (receipt,) = scitt_cose.extract_receipts(scene.forms["scitt"])
    found = scitt_cose.verify_receipt(
        receipt, leaf_entry_hex=scene.forms["scitt"].hex(), log_public_key_pem=pem(receipt_key(scene))
    )
    assert not found.ok


@pytest.mark.parametrize("form", ["json", "vc"])
def test_the_proof_holds_by_the_specification_alone(scene: Scene, form: Any) -> None:
    """vc-di-eddsa 3.3.2 written out again, over the JSON library and the key in the DID."""
    document = json.loads(scene.forms[form])
    proof = document.pop("proof")
    value = proof.pop("proofValue")
    assert document.get("@context") == proof.get("@context")

    def jcs(part: Any) -> bytes:
        return json.dumps(part, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    signed = hashlib.sha256(jcs(proof)).digest() + hashlib.sha256(jcs(document)).digest()
    public = base58(proof["verificationMethod"].partition("#")[2])
    assert public[:2] == b"\xed\x01"
    Ed25519PublicKey.from_public_bytes(public[2:]).verify(base58(value), signed)


def base58(text: str) -> bytes:
    """Return the bytes of a multibase base58-btc value."""
    number = 0
    for symbol in text.removeprefix("z"):
        number = number * 58 + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(symbol)
    return number.to_bytes((number.bit_length() + 7) // 8)
