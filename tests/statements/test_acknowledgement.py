"""Acknowledgements: exactly what the wire format says, and refused at the smallest difference."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc.jwk import OKPKey

from domain.canonical import canonical
from domain.errors import LedgerError, MalformedError, NotAuthorisedError, VerificationError
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from domain.transparency.proofs import inclusion_proof
from infrastructure.keys import ed25519
from infrastructure.statements import jws
from infrastructure.statements.acknowledgement import (
    Acknowledged,
    Acknowledgement,
    AcknowledgementSigner,
    ack_key_document,
    acknowledged_digest,
    parse_ack_key,
)

KEY = ed25519.private_key(bytes(range(32)))
PUBLIC = ed25519.public_bytes(KEY)
ORIGIN = "ledger.example/t/5"
JTI = "0123456789abcdef" * 2
ROOT = hashlib.sha256(b"root").digest()


def make(count: int, index: int, **changes: Any) -> Acknowledgement:
    """Return the acknowledgement of one of some events at leaves 7, 8, 9 ..."""
    events = [Acknowledged(JTI if n % 2 else "", hashlib.sha256(n.to_bytes(2)).digest(), 7 + n) for n in range(count)]
    digests = [leaf_hash(canonical(event.to_json())) for event in events]
    told = {"jti": "f" * 32, "issued_at_s": 1_767_225_600, "publish_by": 12, "size": count}
    root = Frontier.empty().extend(digests).root()
    token = AcknowledgementSigner(KEY, ORIGIN).sign(**{**told, "root": root, **changes})
    return Acknowledgement(token, events[index], index, inclusion_proof(digests, index, count))


def parts(token: str) -> list[Any]:
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


def test_header_and_payload_are_exactly_those_of_the_wire_format() -> None:
    made = make(1, 0)
    header, payload = parts(made.token)
    assert header == {"alg": "Ed25519", "kid": jws.thumbprint(PUBLIC), "typ": "ledger-ack+jwt"}
    digest = hashlib.sha256(b"\x00" + canonical(made.event.to_json())).hexdigest()
    assert payload == {
        "iss": "ledger.example", "aud": ORIGIN, "jti": "f" * 32, "iat": 1_767_225_600, "publish_by": 12, "size": 1,
        "root": digest,
    }  # fmt: skip
    assert list(made.event.to_json()) == ["jti", "leaf_hash", "leaf_index"]


def test_the_token_is_byte_for_byte_that_of_any_other_statement_and_a_jose_library_takes_it() -> None:
    made = make(3, 1)
    assert made.token == jws.sign(jws.ACKNOWLEDGEMENT, KEY, parts(made.token)[1])
    key = OKPKey.import_key(
        {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(PUBLIC).decode().rstrip("=")}
    )
    registry = joserfc_jws.JWSRegistry(algorithms=["Ed25519"])
    assert json.loads(joserfc_jws.deserialize_compact(made.token, key, registry=registry).payload)["size"] == 3


@pytest.mark.parametrize(("count", "index"), [(1, 0), (2, 1), (5, 4), (64, 63), (500, 256)])
def test_each_event_of_a_commit_is_proved_by_its_own_path(count: int, index: int) -> None:
    made = make(count, index)
    promise = made.verify(PUBLIC, ORIGIN)
    assert (promise.size, promise.publish_by, promise.issued_at_s) == (count, 12, 1_767_225_600)
    again = Acknowledgement.from_bytes(made.to_bytes())
    assert again == made
    assert again.to_bytes() == made.to_bytes() == canonical(json.loads(made.to_bytes()))


@given(
    st.text("0123456789abcdef", min_size=32, max_size=32) | st.just(""),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**53 - 1),
)
def test_the_objects_digest_is_that_of_its_canonical_json(jti: str, digest: bytes, index: int) -> None:
    assert acknowledged_digest(jti, digest, index) == leaf_hash(canonical(Acknowledged(jti, digest, index).to_json()))


def test_a_command_id_that_needs_escaping_is_escaped() -> None:
    event = Acknowledged('a"\\\n', bytes(32), 0)
    assert acknowledged_digest(event.jti, bytes(32), 0) == leaf_hash(canonical(event.to_json()))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda one: replace(one, event=one.event._replace(leaf_index=one.event.leaf_index + 1)), VerificationError),
        (lambda one: replace(one, event=one.event._replace(jti="0" * 32)), VerificationError),
        (lambda one: replace(one, event=one.event._replace(leaf_hash=bytes(32))), VerificationError),
        (lambda one: replace(one, index=one.index + 1), VerificationError),
        (lambda one: replace(one, path=one.path[:-1]), VerificationError),
        (lambda one: replace(one, path=(*one.path, bytes(32))), VerificationError),
        (lambda one: replace(one, path=(bytes(32), *one.path[1:])), VerificationError),
        (lambda one: replace(one, token=one.token[:-3] + "AAA"), LedgerError),
        (lambda one: replace(one, token=make(5, 2, root=ROOT).token), VerificationError),
        (lambda one: replace(one, token=make(5, 2, size=0).token), VerificationError),
        (lambda one: replace(one, token=make(5, 2, publish_by=-1).token), MalformedError),
    ],
)
def test_a_changed_acknowledgement_is_refused(
    change: Callable[[Acknowledgement], Acknowledgement], error: type[Exception]
) -> None:
    with pytest.raises(error):
        change(make(5, 2)).verify(PUBLIC, ORIGIN)


def signed(payload: dict[str, Any]) -> Acknowledgement:
    return replace(make(1, 0), token=jws.sign(jws.ACKNOWLEDGEMENT, KEY, payload))


def test_other_members_another_issuer_another_log_or_key_or_type_are_refused() -> None:
    payload = parts(make(1, 0).token)[1]
    signed(payload).verify(PUBLIC, ORIGIN)
    for changed in ({**payload, "more": 1}, {**payload, "iss": "other.example"}, {**payload, "root": "0" * 63},
                    {**payload, "root": payload["root"].upper()}, {**payload, "size": True},
                    {name: payload[name] for name in payload if name != "publish_by"}):  # fmt: skip
        with pytest.raises(MalformedError):
            signed(changed).verify(PUBLIC, ORIGIN)
    with pytest.raises(NotAuthorisedError):
        make(1, 0).verify(PUBLIC, "ledger.example/t/6")
    with pytest.raises(NotAuthorisedError):
        make(1, 0).verify(ed25519.public_bytes(ed25519.private_key(bytes(32))), ORIGIN)
    other = jws.sign(jws.GOVERNANCE, KEY, {**payload, "exp": payload["iat"] + 1})
    with pytest.raises(NotAuthorisedError):
        replace(make(1, 0), token=other).verify(PUBLIC, ORIGIN)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(more=1),
        lambda value: value.pop("index"),
        lambda value: value.update(index=-1),
        lambda value: value.update(index=True),
        lambda value: value.update(index=2**53),
        lambda value: value.update(ack=5),
        lambda value: value.update(path={}),
        lambda value: value.update(path=["00"]),
        lambda value: value.update(path=["0" * 64] * 64),
        lambda value: value["object"].update(jti="0" * 31),
        lambda value: value["object"].update(jti=None),
        lambda value: value["object"].update(leaf_hash="A" * 64),
        lambda value: value["object"].pop("jti"),
        lambda value: value.update(object=[]),
    ],
)
def test_a_file_of_another_shape_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(make(3, 1).to_bytes())
    change(value)
    with pytest.raises(MalformedError):
        Acknowledgement.from_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def test_bytes_that_are_no_such_file_are_refused() -> None:
    data = make(3, 1).to_bytes()
    for other in (data + b" ", b" " + data, b"[]", data[:-1], data * 20, b"\xff", b""):
        with pytest.raises(MalformedError):
            Acknowledgement.from_bytes(other)


def test_the_keys_document_reads_back_and_takes_nothing_else() -> None:
    document = ack_key_document(PUBLIC)
    assert parse_ack_key(document) == PUBLIC
    for other in (document + b"\n", b"[]", document.replace(b"OKP", b"EC"), b"x" * 20_000, b"{}",
                  canonical({**json.loads(document), "d": "secret"})):  # fmt: skip
        with pytest.raises(MalformedError):
            parse_ack_key(other)
