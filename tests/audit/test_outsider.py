"""An outsider reads a bundle with code of their own: standard library, cbor2, cryptography, joserfc; no line of ours.

Written from wire formats 1, 2, 4, 6 and 7. Only the scene that made the bundle comes from this program.
"""

import base64
import hashlib
import hmac
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc import jws
from joserfc.jwk import OKPKey

from tests.audit.conftest import Scene

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclass
class Opened:
    """An entry as the outsider opened it."""

    entry: bytes
    stream: str
    version: int
    topic: str
    at: int
    event: dict[str, Any]


def sha(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def jcs(value: Any) -> bytes:
    """RFC 8785 for ASCII keys, strings, integers, booleans and null."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, by its recursion."""
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha(b"\1" + root_of(leaves[:split]) + root_of(leaves[split:]))


def entries_of(bundle: Path) -> list[bytes]:
    """The entries of a log of at most 256: one partial entry bundle, u16 length before each."""
    (partial,) = [path for path in (bundle / "tile/entries").rglob("*") if path.is_file()]
    data, found = partial.read_bytes(), []
    while data:
        (length,) = struct.unpack(">H", data[:2])
        found.append(data[2 : 2 + length])
        data = data[2 + length :]
    return found


def opened(bundle: Path) -> list[Opened]:
    """Open every entry with keys.json, checking everything that wire formats 1 says."""
    keys = json.loads((bundle / "keys.json").read_bytes())
    secrets = {bytes.fromhex(row["tag"]): row for row in keys["streams"]}
    found = []
    for entry in entries_of(bundle):
        decoded = cbor2.loads(entry)
        assert decoded.tag == 16
        protected, unprotected, ciphertext = decoded.value
        assert unprotected == {}
        assert cbor2.dumps(cbor2.CBORTag(16, [protected, {}, ciphertext])) == entry
        header = cbor2.loads(protected)
        assert list(header) == [1, 3, 4, 5, 15, 16]
        kid, iv = header[4], header[5]
        assert header == {
            1: 3, 3: 50, 4: kid, 5: iv, 15: {1: keys["origin"]}, 16: "application/ledger-entry+cose",
        }  # fmt: skip
        assert cbor2.dumps(header) == protected
        assert (len(kid), len(iv), kid[:4]) == (52, 12, bytes(4))
        row = secrets[kid[4:20]]
        secret = bytes.fromhex(row["key"])
        assert hmac.digest(secret, b"ledger key commitment v1\0" + keys["origin"].encode(), "sha256") == kid[20:]
        structure = cbor2.dumps(["Encrypt0", protected, b""])
        plaintext = AESGCM(secret).decrypt(iv, ciphertext, structure)
        content = json.loads(plaintext)
        assert jcs(content) == plaintext
        assert set(content) == {"stream", "version", "topic", "at", "event"}
        assert content["stream"] == row["stream"]
        found.append(
            Opened(entry, content["stream"], content["version"], content["topic"], content["at"], content["event"])
        )
    return found


@pytest.fixture(scope="module")
def history(scene: Scene) -> list[Opened]:
    """The bundle's history, as the outsider opened it."""
    return opened(scene.bundle)


def of(history: list[Opened], topic: str) -> list[Opened]:
    """Return the entries of a topic."""
    return [item for item in history if item.topic == topic]


def thumbprint(public: bytes) -> str:
    """RFC 7638 by joserfc."""
    return str(key_of(public).thumbprint())


def key_of(public: bytes) -> OKPKey:
    """A public Ed25519 key for joserfc."""
    x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x})


def said(token: str, typ: str, publics: dict[str, bytes], origin: str) -> dict[str, Any]:
    """Verify a statement with joserfc and return what it says."""
    header = json.loads(base64.urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "=="))
    public = publics[header["kid"]]
    assert thumbprint(public) == header["kid"]
    verified = jws.deserialize_compact(token, key_of(public), algorithms=["Ed25519"])
    assert verified.protected == {"alg": "Ed25519", "kid": header["kid"], "typ": typ}
    payload: dict[str, Any] = json.loads(verified.payload)
    assert jcs(payload) == verified.payload
    assert payload["aud"] == origin
    assert len(payload["jti"]) == 32
    return payload


def base58(text: str) -> bytes:
    """Multibase base58-btc."""
    assert text[0] == "z"
    number = 0
    for symbol in text[1:]:
        number = number * 58 + BASE58.index(symbol)
    zeros = len(text[1:]) - len(text[1:].lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def test_the_checkpoint_is_signed_over_the_root_that_the_entries_give(scene: Scene) -> None:
    entries = entries_of(scene.bundle)
    text, signatures = (scene.bundle / "checkpoint").read_text().split("\n\n")
    origin, size, root = text.split("\n")
    assert int(size) == len(entries)
    assert base64.b64decode(root) == root_of([sha(b"\0" + entry) for entry in entries])
    first = signatures.splitlines()[0]
    assert first.startswith(f"\u2014 {origin} ")
    blob = base64.b64decode(first.split(" ")[2])
    name, key_id, encoded = (scene.bundle / "log.vkey").read_text().splitlines()[0].split("+", 2)
    key = base64.b64decode(encoded)
    assert (name, key[0]) == (origin, 1)
    assert sha(name.encode() + b"\n" + key)[:4].hex() == key_id
    assert blob[:4].hex() == key_id
    Ed25519PublicKey.from_public_bytes(key[1:]).verify(blob[4:], (text + "\n").encode())
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(key[1:]).verify(blob[4:], text.encode())


def test_every_entry_opens_with_its_streams_key_and_versions_are_dense(history: list[Opened]) -> None:
    versions: dict[str, int] = {}
    for item in history:
        assert item.version == versions.get(item.stream, -1) + 1
        versions[item.stream] = item.version
    assert len(versions) > 8
    assert [item.at for item in history] == sorted(item.at for item in history)


def test_no_stream_key_opens_another_streams_entry_and_no_iv_repeats(scene: Scene) -> None:
    secrets = [bytes.fromhex(row["key"]) for row in json.loads((scene.bundle / "keys.json").read_bytes())["streams"]]
    seen = set()
    for entry in entries_of(scene.bundle):
        protected, _, ciphertext = cbor2.loads(entry).value
        header = cbor2.loads(protected)
        seen.add(header[5])
        opening = 0
        for secret in secrets:
            try:
                AESGCM(secret).decrypt(header[5], ciphertext, cbor2.dumps(["Encrypt0", protected, b""]))
                opening += 1
            except InvalidTag:
                continue
        assert opening == 1
    assert len(seen) == len(entries_of(scene.bundle))


def test_the_statements_inside_verify_with_another_jws_library(history: list[Opened]) -> None:
    registered = of(history, "tenant.registered.v1")[0].event
    origin = registered["origin"]
    publics = {admin["kid"]: bytes.fromhex(admin["public_key"]) for admin in registered["admins"]}
    for token in registered["acceptances"]:
        assert said(token, "ledger-governance+jwt", publics, origin)["origin"] == origin
    for item in of(history, "tenant.principal_enrolled.v1"):
        for token in item.event["statements"]:
            assert said(token, "ledger-governance+jwt", publics, origin)["kid"] == item.event["kid"]
        publics[item.event["kid"]] = bytes.fromhex(item.event["public_key"])
    for item in of(history, "tenant.policy_adopted.v1"):
        digest = sha(jcs(item.event["policy"])).hex()
        assert item.event["digest"] == digest
        for token in item.event["statements"]:
            assert said(token, "ledger-governance+jwt", publics, origin)["policy_digest"] == digest
    submitted = of(history, "workload.submitted.v1")
    assert len(submitted) > 3
    for item in submitted:
        payload = said(item.event["submission"], "ledger-submission+jwt", publics, origin)
        assert payload["workload"] == item.event["workload_id"] == f"wl-0x{item.stream.replace('-', '')}"
        assert sha(item.event["submission"].encode()).hex() == item.event["submission_digest"]
        assert [i["commitment"] for i in payload["inputs"]] == [i["commitment"] for i in item.event["inputs"]]
    (retry,) = of(history, "execution.retry_authorized.v1")
    faults = {sha(b"\0" + one.entry).hex(): one for one in of(history, "execution.faulted.v1")}
    for token in retry.event["statements"]:
        payload = said(token, "ledger-governance+jwt", publics, origin)
        assert history[payload["fault_leaf_index"]] is faults[payload["fault_entry"]]


def test_a_chain_of_reports_hangs_together(history: list[Opened]) -> None:
    (first, *_) = of(history, "execution.reserved.v1")
    tokens: list[str] = [
        str(item.event.get("report") or item.event.get("evidence"))
        for item in history
        if item.stream == first.stream and {"report", "evidence"} & item.event.keys()
    ]
    prev = "0" * 64
    assert len(tokens) == 4
    for seq, token in enumerate(tokens):
        payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert (payload["seq"], payload["prev"], payload["execution"]) == (seq, prev, first.event["execution_id"])
        prev = sha(token.encode()).hex()


def test_every_cac_verifies_by_an_independent_check_of_eddsa_jcs_2022(history: list[Opened]) -> None:
    issued = of(history, "cac.issued.v1")
    assert len(issued) >= 2
    for item in issued:
        document = dict(item.event["document"])
        proof = dict(document.pop("proof"))
        signature = base58(proof.pop("proofValue"))
        key = bytes.fromhex(document["cac_key"])
        did, fragment = proof["verificationMethod"].split("#")
        assert did == f"did:key:{fragment}"
        assert base58(fragment) == b"\xed\x01" + key
        assert (proof["cryptosuite"], proof["proofPurpose"]) == ("eddsa-jcs-2022", "assertionMethod")
        assert (proof["domain"], proof["challenge"]) == (document["scope"], document["nonce"])
        Ed25519PublicKey.from_public_bytes(key).verify(signature, sha(jcs(proof)) + sha(jcs(document)))
        changed = {**document, "outcome": "OTHER"}
        with pytest.raises(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(key).verify(signature, sha(jcs(proof)) + sha(jcs(changed)))


def test_report_data_and_references_of_a_cac_follow_from_it_and_from_the_entries(history: list[Opened]) -> None:
    registered = of(history, "tenant.registered.v1")[0].event
    attestation = bytes.fromhex(registered["attestation_key"])
    by_hash = {sha(b"\0" + item.entry).hex(): item for item in history}
    submissions = {item.event["workload_id"]: item.event for item in of(history, "workload.submitted.v1")}
    for item in of(history, "cac.issued.v1"):
        cac = item.event["document"]
        evidence, released = by_hash[cac["evidence_entry"]], by_hash[cac["release_entry"]]
        assert (evidence.topic, released.topic) == (
            "execution.evidence_appraised.v1", "execution.inputs_released.v1",
        )  # fmt: skip
        submitted = submissions[cac["workload"]]
        hpke_key = bytes.fromhex(evidence.event["hpke_key"])
        assert sha(hpke_key).hex() == cac["hpke_key_digest"]
        parts = (
            cac["host"].encode(), cac["scope"].encode(), cac["execution_id"].encode(), cac["node"].encode(),
            bytes.fromhex(cac["nonce"]), bytes.fromhex(cac["module_digest"]), sha(jcs(cac["limits"])),
            bytes.fromhex(cac["policy"]["digest"]), sha(submitted["submission"].encode()),
            bytes.fromhex(cac["cac_key"]), struct.pack(">H", cac["hpke_kem_id"]), sha(hpke_key),
        )  # fmt: skip
        digest = hashlib.sha512(b"ledger report-data v1\0")
        for part in parts:
            digest.update(struct.pack(">H", len(part)) + part)
        assert digest.hexdigest() == cac["report_data"] == evidence.event["report_data"]
        assert cac["evidence_digest"] == sha(evidence.event["evidence"].encode()).hex()
        certified = said(
            cac["certificate"], "ledger-endorsement+jwt", {thumbprint(attestation): attestation}, registered["origin"]
        )
        assert (certified["cac_key"], certified["execution"]) == (cac["cac_key"], cac["execution_id"])
        assert cac["input_commitments"] == [i["commitment"] for i in submitted["inputs"]]
        assert cac["output_address"] == f"{registered['origin']}/cac/{cac['cac_id']}"
        assert cac["tenant_info"] == {
            "dao": registered["dao"], "jurisdiction": registered["jurisdiction"],
            "resource_class": submitted["resource_class"], "workload_id": cac["execution_id"],
        }  # fmt: skip
        attempt = cac["attempt"].to_bytes(4, "big") + bytes(4)
        preimage = b"ledger exec id v1\0" + registered["origin"].encode() + b"\0" + cac["workload"].encode() + attempt
        assert cac["execution_id"] == f"exec-0x{sha(preimage)[:16].hex()}"
