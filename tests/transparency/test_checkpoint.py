import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import EMPTY_ROOT

ORIGINS = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=40)
CHECKPOINTS = st.builds(Checkpoint, ORIGINS, st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32))
ROOT = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


@given(CHECKPOINTS)
def test_a_printed_checkpoint_reads_back(checkpoint: Checkpoint) -> None:
    assert Checkpoint.parse(checkpoint.to_text()) == checkpoint
    assert Checkpoint.parse_extended(checkpoint.to_text()) == checkpoint


@given(CHECKPOINTS, st.data())
def test_what_parses_prints_the_same_bytes(checkpoint: Checkpoint, data: st.DataObject) -> None:
    raw = bytearray(checkpoint.to_text())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parsed = Checkpoint.parse(bytes(raw))
    except MalformedError:
        return
    assert parsed.to_text() == bytes(raw)
    assert parsed != checkpoint


def test_the_empty_log_has_a_checkpoint() -> None:
    checkpoint = Checkpoint.parse(f"ledger.example/t/5\n0\n{ROOT}\n".encode())
    assert checkpoint == Checkpoint("ledger.example/t/5", 0, EMPTY_ROOT)
    with pytest.raises(MalformedError):
        Checkpoint("ledger.example/t/5", 0, b"x" * 32)


@pytest.mark.parametrize(
    "size", ["", "01", "+1", "-1", "1_0", " 1", "1 ", "0x1", "1.0", "\u0661", "9" * 19, "1" * 5000]
)
def test_another_spelling_of_a_size_is_refused(size: str) -> None:
    with pytest.raises(MalformedError):
        Checkpoint.parse(f"o\n{size}\n{ROOT}\n".encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        f"o\n1\n{ROOT}",
        f"o\n1\n{ROOT}\nextension\n",
        f"o\n1\n{ROOT}\n\n",
        f"\n1\n{ROOT}\n",
        f"o\r\n1\n{ROOT}\n",
        f"o\u202e\n1\n{ROOT}\n",
        f"{'o' * 256}\n1\n{ROOT}\n",
        f"o\n1\n{ROOT[:-1]}\n",
        f"o\n1\n{ROOT[:-2]}V=\n",
        "o\n1\nAAAA\n",
    ],
)
def test_another_form_of_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Checkpoint.parse(text.encode())


def test_bytes_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(MalformedError):
        Checkpoint.parse(b"\xff\n1\n" + ROOT.encode() + b"\n")
    with pytest.raises(MalformedError):
        Checkpoint("\ud800", 1, EMPTY_ROOT)
    for size, root in ((-1, EMPTY_ROOT), (2**63, EMPTY_ROOT), (1, b"")):
        with pytest.raises(MalformedError):
            Checkpoint("o", size, root)


def test_extension_lines_of_others_are_ignored_and_empty_ones_refused() -> None:
    text = f"o o\n1\n{ROOT}\nextension one\nextension two\n".encode()
    assert Checkpoint.parse_extended(text) == Checkpoint("o o", 1, EMPTY_ROOT)
    for wrong in (text + b"\n", text.replace(b"extension one", b""), b"o\n1\n"):
        with pytest.raises(MalformedError):
            Checkpoint.parse_extended(wrong)
