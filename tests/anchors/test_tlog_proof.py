import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from domain.transparency.note import Note, NoteSignature
from domain.transparency.proofs import inclusion_proof
from domain.transparency.tlog_proof import TlogProof

HASHES = st.binary(min_size=32, max_size=32)
LINES = st.builds(
    NoteSignature, st.just("ledger.example/log"), st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=90)
)
NOTES = st.builds(
    Note,
    st.builds(Checkpoint, st.just("ledger.example/log"), st.integers(1, 2**62), HASHES).map(Checkpoint.to_text),
    st.lists(LINES, min_size=1, max_size=3).map(tuple),
)
PROOFS = st.builds(
    TlogProof,
    st.integers(0, 2**62),
    st.lists(HASHES, max_size=6).map(tuple),
    NOTES,
    st.none() | st.binary(min_size=1, max_size=100),
)
HASH = base64.b64encode(b"h" * 32)
NOTE = b"o\n1\n" + HASH + b"\n\n\xe2\x80\x94 o AAAAAAA=\n"
HEAD = b"c2sp.org/tlog-proof@v1\n"


@given(PROOFS)
def test_a_printed_proof_reads_back(proof: TlogProof) -> None:
    assert TlogProof.parse(proof.to_bytes()) == proof


@given(PROOFS, st.data())
def test_what_parses_as_a_proof_prints_the_same_bytes(proof: TlogProof, data: st.DataObject) -> None:
    raw = bytearray(proof.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parsed = TlogProof.parse(bytes(raw))
    except MalformedError:
        return
    assert parsed.to_bytes() == bytes(raw)
    assert parsed != proof


def test_the_form_is_that_of_the_specification() -> None:
    proof = TlogProof.parse(HEAD + b"extra ZXh0cmE=\nindex 73894\n" + HASH + b"\n" + HASH + b"\n\n" + NOTE)
    assert (proof.index, proof.path, proof.extra) == (73894, (b"h" * 32,) * 2, b"extra")
    assert proof.note.text == NOTE[: NOTE.index(b"\n\n") + 1]
    assert proof.checkpoint() == Checkpoint("o", 1, b"h" * 32)
    assert TlogProof.parse(HEAD + b"index 0\n\n" + NOTE).path == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD,
        HEAD + b"\n" + NOTE,
        NOTE,
        HEAD + b"index 0\n" + NOTE,
        HEAD + b"index 0\n\n",
        HEAD + b"index 00\n\n" + NOTE,
        HEAD + b"index -1\n\n" + NOTE,
        HEAD + b"index  0\n\n" + NOTE,
        HEAD + b"index\n\n" + NOTE,
        HEAD + b"index 9223372036854775807\n\n" + NOTE,
        HEAD + b"extra \nindex 0\n\n" + NOTE,
        HEAD + b"extra ZXh0cmE\nindex 0\n\n" + NOTE,
        HEAD + b"extra ZXh0cmE=\nextra ZXh0cmE=\nindex 0\n\n" + NOTE,
        HEAD + b"index 0\nextra ZXh0cmE=\n\n" + NOTE,
        HEAD + b"index 0\nindex 1\n\n" + NOTE,
        HEAD + b"index 0\nAAAA\n\n" + NOTE,
        HEAD + b"index 0\n" + (HASH + b"\n") * 64 + b"\n" + NOTE,
        HEAD + b"index 0\n" + HASH + b"\r\n\n" + NOTE,
        HEAD.replace(b"v1", b"v2") + b"index 0\n\n" + NOTE,
        b"\n" + HEAD + b"index 0\n\n" + NOTE,
        HEAD + b"index \xd9\xa1\n\n" + NOTE,
        HEAD + b"extra " + base64.b64encode(bytes(65537)) + b"\nindex 0\n\n" + NOTE,
        bytes(2 << 20),
    ],
)
def test_another_form_of_a_proof_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        TlogProof.parse(data)


@given(st.integers(1, 40), st.data())
def test_an_entry_is_where_its_proof_says_and_nowhere_else(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(b"%d" % index) for index in range(size)]
    index = data.draw(st.integers(0, size - 1))
    checkpoint = Checkpoint("o", size, Frontier.empty().extend(leaves).root())
    note = Note(checkpoint.to_text() + b"an extension line\n", (NoteSignature("o", b"1234", b"s"),))
    proof = TlogProof(index, inclusion_proof(leaves, index, size), note)
    assert proof.verify(leaves[index]) == checkpoint
    with pytest.raises(VerificationError):
        proof.verify(leaf_hash(b"another"))
    with pytest.raises(VerificationError):
        TlogProof(index + 1, proof.path, note).verify(leaves[index])


@pytest.mark.parametrize(
    "change",
    [
        lambda proof: TlogProof(proof.index, proof.path, Note(b"no checkpoint\n", proof.note.signatures)).verify(
            b"h" * 32
        ),
        lambda proof: TlogProof(-1, proof.path, proof.note),
        lambda proof: TlogProof(0, (b"short",), proof.note),
        lambda proof: TlogProof(0, (), proof.note, b""),
    ],
)
def test_parts_out_of_bounds_are_refused(change: Callable[[TlogProof], object]) -> None:
    with pytest.raises(MalformedError):
        change(TlogProof.parse(HEAD + b"index 0\n\n" + NOTE))
