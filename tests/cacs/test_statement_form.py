"""A CAC as a transparent statement: COSE_Sign1 and receipt to the byte, and nothing of either can be exchanged."""

from collections.abc import Callable
from typing import Any

import cbor2
import pytest

from domain.cacs.claims import Refusal
from domain.errors import LedgerError, MalformedError, VerificationError
from domain.transparency.hashing import leaf_hash
from domain.transparency.proofs import inclusion_proof, root_from_inclusion
from infrastructure.audit.opening import Opener
from infrastructure.cacs import cose
from infrastructure.cacs.export import export_cac
from infrastructure.cacs.receipt import Inclusion, Receipt, make_receipt, parse_receipt, receipt_claims
from infrastructure.cacs.statement import make_statement, opened
from infrastructure.cacs.verify import verify_cac
from infrastructure.keys import did_key, ed25519
from infrastructure.keys.entry import parse_entry
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.statements import jws
from infrastructure.tlog.reader import read_entries
from tests.cacs.conftest import Scene
from tests.cacs.forging import forged

STRANGER = ed25519.private_key(b"s" * 32)


def parts(data: bytes) -> tuple[dict[Any, Any], dict[Any, Any], bytes | None, bytes]:
    """Return protected, unprotected, payload and signature of a message, by the CBOR library alone."""
    message = cbor2.loads(data)
    assert message.tag == 18
    protected, unprotected, payload, signature = message.value
    return dict(cbor2.loads(protected)), dict(unprotected), payload, signature


def receipt_of(data: bytes) -> bytes:
    (receipt,) = parts(data)[1][394]
    assert isinstance(receipt, bytes)
    return receipt


def with_receipts(data: bytes, *receipts: bytes, **more: Any) -> bytes:
    """Return a statement with other receipts: its signature does not cover them."""
    message = cbor2.loads(data)
    protected, _, payload, signature = message.value
    header: dict[Any, Any] = {394: list(receipts), **more}
    return cose.encode(cbor2.CBORTag(18, [protected, header, payload, signature]))


def altered(data: bytes, change: Callable[[dict[Any, Any]], Any]) -> bytes:
    """Return the statement with its receipt's unprotected header changed."""
    message = cbor2.loads(receipt_of(data))
    protected, unprotected, payload, signature = message.value
    header = {name: value for name, value in unprotected.items()}  # noqa: C416 - frozen otherwise
    change(header)
    return with_receipts(data, cose.encode(cbor2.CBORTag(18, [protected, header, payload, signature])))


def reason(data: bytes, **options: Any) -> Refusal | None:
    return verify_cac(data, **options).reason


def keys(scene: Scene, *, other: bool = False) -> Any:
    return scene.cell.ledger.keyring.get((scene.other if other else scene.member).log_id)


def test_the_statement_is_as_rfc_9943_has_it(scene: Scene) -> None:
    protected, unprotected, payload, signature = parts(scene.forms["scitt"])
    assert protected == {
        1: -8, 3: "application/ledger-cac+json", 4: thumbprint(scene.tenant_key).encode(),
        15: {1: did_key.did_key(scene.tenant_key), 2: scene.real["output_address"]},
    }  # fmt: skip
    assert set(unprotected) == {394}
    assert payload == scene.forms["json"]
    assert len(signature) == 64


def test_the_receipt_is_as_rfc_9942_has_it_and_leads_to_the_published_root(scene: Scene) -> None:
    protected, unprotected, payload, signature = parts(receipt_of(scene.forms["scitt"]))
    size = protected[15]["tree_size"]
    receipt_key = ed25519.public_bytes(keys(scene).receipt_key())
    assert protected == {
        1: -8, 4: thumbprint(receipt_key).encode(), 395: 1,
        15: {1: scene.member.tenant.origin, 2: scene.real["output_address"], "tree_size": size},
    }  # fmt: skip
    assert payload is None
    assert len(signature) == 64
    (proof,) = unprotected[396][-1]
    told_size, index, path = cbor2.loads(proof)
    entries = list(read_entries(scene.folder / "all"))
    assert told_size == size <= len(entries)
    assert unprotected["ledger-entry"] == entries[index]
    leaves = [leaf_hash(entry) for entry in entries[:size]]
    assert tuple(path) == inclusion_proof(leaves, index, size)
    root = root_from_inclusion(leaves[index], index, size, tuple(path))
    signed = cbor2.dumps(["Signature1", cbor2.loads(receipt_of(scene.forms["scitt"])).value[0], b"", root])
    ed25519.verify(receipt_key, signature, signed)


def test_the_key_that_comes_along_opens_that_entry_and_no_other(scene: Scene) -> None:
    receipt = parse_receipt(receipt_of(scene.forms["scitt"]))
    assert opened(receipt).document == scene.real
    count = 0
    for entry in read_entries(scene.folder / "all"):
        parsed = parse_entry(entry)
        count += parsed.tag == parse_entry(receipt.entry).tag
    assert count == 1
    assert isinstance(Opener({}, receipt.origin).open(receipt.entry), int)


def test_that_the_key_was_handed_out_is_an_entry_before(scene: Scene) -> None:
    history = [recorded.event for recorded in scene.cell.history(scene.member)]
    told = [event for event in history if getattr(event, "recipient", "") == "cac export"]
    assert told
    assert {event.streams for event in told} == {1}  # type: ignore[attr-defined]


def test_receipts_of_one_cac_at_two_sizes_both_stand(scene: Scene) -> None:
    later = export_cac(scene.cell.ledger, scene.own["cac_id"], "scitt")
    again = export_cac(scene.cell.ledger, scene.own["cac_id"], "scitt")
    assert parts(later)[0] == parts(again)[0]
    assert reason(later) is reason(again) is None
    assert reason(with_receipts(later, receipt_of(again))) is None
    found = verify_cac(later, bundle=scene.bundle("sealed"))  # an older bundle, whose tree has the entry already
    assert (found.ok, found.issued) == (True, True)


def test_a_receipt_of_another_cac_or_another_tenant_is_refused(scene: Scene) -> None:
    data = scene.forms["scitt"]
    theirs = export_cac(scene.cell.ledger, scene.own["cac_id"], "scitt")
    assert reason(with_receipts(data, receipt_of(theirs))) is Refusal.RECEIPT
    (mine, *_) = [event for event in scene.cell.history(scene.other) if event.event.TOPIC == "cac.issued.v1"]
    foreign = export_cac(scene.cell.ledger, mine.event.cac_id, "scitt")  # type: ignore[attr-defined]
    assert reason(with_receipts(data, receipt_of(foreign))) is Refusal.RECEIPT


@pytest.mark.parametrize("receipts", [(), (b"",), (b"\xf6",), (b"\x00" * 64,)])
def test_what_is_no_receipt_is_malformed(scene: Scene, receipts: tuple[bytes, ...]) -> None:
    assert reason(with_receipts(scene.forms["scitt"], *receipts)) is Refusal.MALFORMED


def test_two_receipts_a_label_too_many_and_an_attached_root_are_malformed(scene: Scene) -> None:
    data = scene.forms["scitt"]
    assert reason(with_receipts(data, receipt_of(data), receipt_of(data))) is Refusal.MALFORMED
    assert reason(with_receipts(data, receipt_of(data), more=1)) is Refusal.MALFORMED
    message = cbor2.loads(receipt_of(data))
    attached = cose.encode(cbor2.CBORTag(18, [*message.value[:2], b"r" * 32, message.value[3]]))
    assert reason(with_receipts(data, attached)) is Refusal.MALFORMED


def proof_of(header: dict[Any, Any]) -> list[Any]:
    return list(cbor2.loads(header[396][-1][0]))


def put(header: dict[Any, Any], proof: list[Any]) -> None:
    header[396] = {-1: [cose.encode(proof)]}


def _size(header: dict[Any, Any]) -> None:
    size, index, path = proof_of(header)
    put(header, [size + 1, index, path])


def _index(header: dict[Any, Any]) -> None:
    size, index, path = proof_of(header)
    put(header, [size, index ^ 1, path])


def _path(header: dict[Any, Any]) -> None:
    size, index, path = proof_of(header)
    put(header, [size, index, [bytes(32), *path[1:]]])


def _short(header: dict[Any, Any]) -> None:
    size, index, path = proof_of(header)
    put(header, [size, index, path[:-1]])


def _two(header: dict[Any, Any]) -> None:
    header[396] = {-1: [*header[396][-1]] * 2}


def _kind(header: dict[Any, Any]) -> None:
    header[396] = {-2: header[396][-1]}


def _endorsement(header: dict[Any, Any]) -> None:
    said = jws.peek(header["ledger-receipt-key"])[1]
    header["ledger-receipt-key"] = jws.sign(jws.ENDORSEMENT, STRANGER, said)


CHANGES: dict[str, tuple[Callable[[dict[Any, Any]], Any], Refusal]] = {
    "size": (_size, Refusal.MALFORMED),
    "index": (_index, Refusal.RECEIPT),
    "path": (_path, Refusal.RECEIPT),
    "shorter": (_short, Refusal.RECEIPT),
    "two proofs": (_two, Refusal.MALFORMED),
    "consistency": (_kind, Refusal.MALFORMED),
    "endorsed by a stranger": (_endorsement, Refusal.RECEIPT),
    "no endorsement": (lambda it: it.update({"ledger-receipt-key": "x.y.z"}), Refusal.RECEIPT),
    "another entry": (lambda it: it.update({"ledger-entry": it["ledger-entry"][:-1] + b"x"}), Refusal.RECEIPT),
    "no entry": (lambda it: it.update({"ledger-entry": b""}), Refusal.RECEIPT),
    "another key": (lambda it: it.update({"ledger-stream-key": bytes(32)}), Refusal.RECEIPT),
    "a short key": (lambda it: it.update({"ledger-stream-key": b"x"}), Refusal.MALFORMED),
    "lacking": (lambda it: it.pop("ledger-entry"), Refusal.MALFORMED),
    "more": (lambda it: it.update({"more": 1}), Refusal.MALFORMED),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_receipt_with_anything_changed_beside_its_signature_is_refused(scene: Scene, name: str) -> None:
    change, expected = CHANGES[name]
    found = verify_cac(altered(scene.forms["scitt"], change))
    assert found.reason is expected, found.error


def lying(scene: Scene, **changes: Any) -> bytes:
    """Return a receipt for the real CAC that the tenant's own receipt key signs over something else."""
    good: Receipt = parse_receipt(receipt_of(scene.forms["scitt"]))
    root = root_from_inclusion(good.leaf_hash, good.inclusion.index, good.inclusion.size, good.inclusion.path)
    told: dict[str, Any] = {
        "origin": good.origin, "subject": good.subject, "inclusion": good.inclusion, "root": root, "entry": good.entry,
        "stream_key": good.stream_key, "endorsement": good.endorsement, "key": keys(scene).receipt_key(), **changes,
    }  # fmt: skip
    return with_receipts(scene.forms["scitt"], make_receipt(**told))


def test_a_receipt_that_its_own_key_signs_over_another_log_subject_or_root_is_refused(scene: Scene) -> None:
    assert reason(lying(scene)) is None
    assert reason(lying(scene, origin=scene.other.tenant.origin)) is Refusal.RECEIPT
    assert reason(lying(scene, subject=scene.own["output_address"])) is Refusal.RECEIPT
    elsewhere = f"ledger.example/t/999/cac/{scene.real['cac_id']}"
    assert verify_cac(lying(scene, subject=elsewhere)).error == "it is of another subject, or of another log"
    assert reason(lying(scene, root=bytes(32))) is Refusal.RECEIPT
    assert reason(lying(scene, key=STRANGER)) is Refusal.RECEIPT
    assert reason(lying(scene, key=keys(scene).attestation_key())) is Refusal.RECEIPT  # one key, one purpose


def test_a_tree_that_never_was_the_logs_is_found_with_a_bundle(scene: Scene) -> None:
    """The receipt key can sign a tree of its own making; the log's own tree tells."""
    good = parse_receipt(receipt_of(scene.forms["scitt"]))
    alone = lying(scene, inclusion=Inclusion(1, 0, ()), root=good.leaf_hash)
    assert reason(alone) is None  # an empty path of a one-leaf tree is legal
    assert reason(alone, bundle=scene.bundle("all")) is Refusal.RECEIPT
    later = [bytes([at]) * 32 for at in range(200)]
    later[3] = good.leaf_hash
    beyond = Inclusion(200, 3, inclusion_proof(later, 3, 200))  # of a later size, at the place of another entry
    root = root_from_inclusion(good.leaf_hash, 3, 200, beyond.path)
    found = verify_cac(lying(scene, inclusion=beyond, root=root), bundle=scene.bundle("sealed"))
    assert (found.reason, found.error) == (Refusal.RECEIPT, "entry 3 of the log is another one")
    index, size = good.inclusion.index, good.inclusion.size
    moved = [bytes([at]) * 32 for at in range(size)]
    moved[index] = good.leaf_hash
    path = inclusion_proof(moved, index, size)
    other = root_from_inclusion(good.leaf_hash, index, size, path)
    made = lying(scene, inclusion=Inclusion(size, index, path), root=other)
    assert reason(made) is None
    assert verify_cac(made, bundle=scene.bundle("sealed")).error == f"the log had another root at size {size}"


def test_statements_by_others_or_over_others_are_refused(scene: Scene) -> None:
    receipt = receipt_of(scene.forms["scitt"])
    theirs = make_statement(scene.real, keys(scene, other=True).attestation_key(), [receipt])
    assert reason(theirs) is Refusal.RECEIPT
    mine = make_statement(forged(scene, {}), keys(scene).attestation_key(), [receipt])
    assert reason(mine) is Refusal.RECEIPT
    own = receipt_of(export_cac(scene.cell.ledger, scene.own["cac_id"], "scitt"))
    told = make_statement(forged(scene, {"hardware": "none"}), keys(scene).attestation_key(), [own])
    assert verify_cac(told).error == "the entry in the log holds another CAC"
    message = cbor2.loads(scene.forms["scitt"])
    swapped = cose.encode(cbor2.CBORTag(18, [*message.value[:3], bytes(64)]))
    assert reason(swapped) is Refusal.STATEMENT
    subject = cose.sign1(
        {3: "application/ledger-cac+json", 4: thumbprint(scene.tenant_key).encode(),
         15: {1: did_key.did_key(scene.tenant_key), 2: scene.own["output_address"]}},
        {394: [receipt]}, scene.forms["json"], keys(scene).attestation_key(),
    )  # fmt: skip
    assert reason(subject) is Refusal.STATEMENT


@pytest.mark.parametrize(
    "header",
    [
        {3: "application/json", 4: b"k", 15: {1: "did:key:z", 2: "x"}},
        {3: "application/ledger-cac+json", 4: b"k", 15: {1: "did:key:z"}},
        {3: "application/ledger-cac+json", 4: b"k", 15: {1: "did:key:z", 2: "x", 3: "y"}},
        {3: "application/ledger-cac+json", 4: b"k", 15: []},
        {3: "application/ledger-cac+json", 4: b"k", 15: {1: "did:key:z", 2: "x"}, 2: [3]},
        {3: "application/ledger-cac+json", 15: {1: "did:key:z", 2: "x"}},
        {4: b"k", 15: {1: "did:key:z", 2: "x"}},
    ],
    ids=str,
)
def test_headers_of_another_shape_are_malformed(scene: Scene, header: dict[Any, Any]) -> None:
    made = cose.sign1(header, {394: [receipt_of(scene.forms["scitt"])]}, scene.forms["json"], STRANGER)
    assert reason(made) is Refusal.MALFORMED


def test_another_algorithm_is_malformed(scene: Scene) -> None:
    message = cbor2.loads(scene.forms["scitt"])
    protected = {**cbor2.loads(message.value[0])}
    for alg in (-7, -19, -35, "EdDSA", None):
        header = cbor2.dumps({**protected, 1: alg}, canonical=True)
        assert reason(cose.encode(cbor2.CBORTag(18, [header, *message.value[1:]]))) is Refusal.MALFORMED


def test_a_receipt_key_is_endorsed_as_such_and_for_this_log(scene: Scene) -> None:
    mine = keys(scene)
    public = ed25519.public_bytes(mine.receipt_key())
    said = jws.peek(parse_receipt(receipt_of(scene.forms["scitt"])).endorsement)[1]
    assert {name: said[name] for name in ("act", "receipt_key")} == receipt_claims(public)
    for change in (
        {"aud": scene.other.tenant.origin}, {"act": "certify_enclave"}, {"receipt_key": "0" * 64}, {"more": 1},
        {"receipt_key": None}, {"receipt_key": ed25519.public_bytes(STRANGER).hex()},
    ):  # fmt: skip
        token = jws.sign(jws.ENDORSEMENT, mine.attestation_key(), {**said, **change})
        assert reason(lying(scene, endorsement=token)) is Refusal.RECEIPT, change


def test_the_receipt_key_is_no_other_key_and_each_tenants_own(scene: Scene) -> None:
    mine, theirs = keys(scene), keys(scene, other=True)
    found = [
        ed25519.public_bytes(key)
        for one in (mine, theirs)
        for key in (one.receipt_key(), one.attestation_key(), one.acknowledgement_key(), one.ed25519_key())
    ]
    assert len(set(found)) == len(found)
    with pytest.raises(LedgerError):
        mine.without_data_keys().receipt_key()


@pytest.mark.parametrize("value", [[0, 0, []], [1, 1, []], [2, 0, [b"x"]], [1, 0], [1, 0, [], 0], [-1, 0, []], {}, 1])
def test_proofs_of_no_tree_are_malformed(value: Any) -> None:
    with pytest.raises(MalformedError):
        Inclusion.parse(cose.encode(value))


def test_a_path_of_another_length_than_due_is_refused_before_hashing() -> None:
    with pytest.raises(VerificationError, match="hashes where"):
        root_from_inclusion(bytes(32), 0, 1, (bytes(32),))
    assert root_from_inclusion(b"l" * 32, 0, 1, ()) == b"l" * 32
