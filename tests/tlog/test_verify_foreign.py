"""Tile logs that others wrote."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure.tlog.verify import verify_directory
from tests.tlog.foreign import ORIGIN, ForeignLog, sha, tree_hash

SIZES = [0, 1, 2, 255, 256, 257, 600]


@pytest.fixture
def foreign(tmp_path: Path) -> Callable[..., ForeignLog]:
    return lambda **arguments: ForeignLog(tmp_path, **arguments)


@pytest.mark.parametrize("size", SIZES)
def test_a_log_of_others_verifies_with_its_key(foreign: Callable[..., ForeignLog], size: int) -> None:
    log = foreign().write(size)
    outcome = verify_directory(log.root, log_keys=[log.vkey])
    assert (outcome.ok, outcome.trust, outcome.first_error) == (True, "verified", None)
    assert (outcome.origin, outcome.size) == (ORIGIN, size)
    assert any("not independently witnessed" in words for words in outcome.not_checked)


def test_a_log_of_others_needs_its_key(foreign: Callable[..., ForeignLog]) -> None:
    log = foreign().write(2)
    other = ForeignLog(log.root, seed=b"o" * 32)
    assert "must be given" in str(verify_directory(log.root).first_error)
    assert "not signed by a key" in str(verify_directory(log.root, log_keys=[other.vkey]).first_error)
    assert verify_directory(log.root, log_keys=[other.vkey, log.vkey]).ok


def test_the_key_of_a_witness_does_not_stand_in_for_the_log(foreign: Callable[..., ForeignLog]) -> None:
    log = foreign().write(2)
    material = b"\x04" + log.material[1:]
    key_id = sha(b"w\n", material)[:4]
    text = log.text()
    blob = (1).to_bytes(8, "big") + log.private.sign(b"cosignature/v1\ntime 1\n" + text.encode())
    log.sign(text, f"\u2014 w {base64.b64encode(key_id + blob).decode()}\n")
    witness = f"w+{key_id.hex()}+{base64.b64encode(material).decode()}"
    assert not verify_directory(log.root, log_keys=[witness]).ok
    assert verify_directory(log.root, log_keys=[witness, log.vkey]).ok


def test_unknown_signatures_extension_lines_and_other_files_are_ignored(foreign: Callable[..., ForeignLog]) -> None:
    log = foreign().write(300, extension="an extension\n")
    log.sign(log.text(), "\u2014 witness.example/w AAAAAAAA\n", f"\u2014 {ORIGIN} AAAAAAAA\n")
    for path in ("index.html", ".git/HEAD", "tile/0/000.p/17", "tile/entries/001.p/3", "tile/0/999", "tile/7/x"):
        (log.root / path).parent.mkdir(parents=True, exist_ok=True)
        (log.root / path).write_bytes(b"stale")
    (log.root / "empty").mkdir()
    (log.root / "link").symlink_to("nowhere")
    assert verify_directory(log.root, log_keys=[log.vkey]).trust == "verified"


def test_a_key_of_another_name_than_the_origin_is_said(foreign: Callable[..., ForeignLog]) -> None:
    log = foreign(name="keys.example.org").write(5, origin="a log with spaces")
    outcome = verify_directory(log.root, log_keys=[log.vkey])
    assert outcome.trust == "verified"
    assert any("its name is another" in words for words in outcome.not_checked)


def test_a_full_tile_stands_in_for_a_partial_one(foreign: Callable[..., ForeignLog]) -> None:
    log = foreign().write(512)
    short = ForeignLog(log.root)
    leaves = [sha(b"\x00", b"leaf %d" % index if index % 7 else b"") for index in range(300)]
    short.sign(f"{ORIGIN}\n300\n{base64.b64encode(tree_hash(leaves)).decode()}\n")
    (log.root / "tile/1/000.p/1").write_bytes(tree_hash(leaves[:256]))
    assert verify_directory(log.root, log_keys=[log.vkey]).trust == "verified"
    (log.root / "tile/0/001").unlink()
    assert "tile/0/001.p/44: missing" in str(verify_directory(log.root, log_keys=[log.vkey]).first_error)


def test_a_log_that_serves_its_entries_otherwise_is_checked_by_hashes_and_says_so(
    foreign: Callable[..., ForeignLog],
) -> None:
    log = foreign().write(600, entries="data")
    outcome = verify_directory(log.root, log_keys=[log.vkey])
    assert outcome.ok
    assert outcome.trust == "hashes verified; entries not present"
    assert any("format of its own" in words for words in outcome.not_checked)
    for path in ("tile/0/001", "tile/1/000.p/2", "tile/0/002.p/88"):
        data = (log.root / path).read_bytes()
        (log.root / path).write_bytes(data[:-1] + bytes((data[-1] ^ 1,)))
        assert not verify_directory(log.root, log_keys=[log.vkey]).ok
        (log.root / path).write_bytes(data)


def test_a_log_without_its_entries_is_refused(foreign: Callable[..., ForeignLog]) -> None:
    log = foreign().write(5)
    (log.root / "tile/entries/000.p/5").unlink()
    (log.root / "tile/entries/000.p").rmdir()
    (log.root / "tile/entries").rmdir()
    assert "tile/entries/000.p/5: missing" in str(verify_directory(log.root, log_keys=[log.vkey]).first_error)


def test_a_size_beyond_all_files_ends_at_the_first_missing_one(foreign: Callable[..., ForeignLog]) -> None:
    log = foreign().write(256)
    for size in (2**63 - 1, 2**63, 10**30):
        log.sign(f"{ORIGIN}\n{size}\n{base64.b64encode(sha()).decode()}\n")
        error = str(verify_directory(log.root, log_keys=[log.vkey]).first_error)
        assert error == "tile/entries/001: missing" if size < 2**63 else error.startswith("checkpoint: ")


@pytest.mark.parametrize("size", [1, 2, 256, 600])
def test_any_change_of_a_needed_file_is_named(foreign: Callable[..., ForeignLog], size: int) -> None:
    log = foreign().write(size)
    for file in [path for path in log.root.rglob("*") if path.is_file()]:
        data, path = file.read_bytes(), file.relative_to(log.root).as_posix()
        for place in {0, len(data) // 2, len(data) - 1}:
            changed = bytearray(data)
            changed[place] ^= 1
            file.write_bytes(changed)
            assert path in str(verify_directory(log.root, log_keys=[log.vkey]).first_error)
        for wrong in (b"", data[:-1], data + b"\0"):
            file.write_bytes(wrong)
            assert path in str(verify_directory(log.root, log_keys=[log.vkey]).first_error)
        file.unlink()
        assert path in str(verify_directory(log.root, log_keys=[log.vkey]).first_error)
        file.write_bytes(data)
    assert verify_directory(log.root, log_keys=[log.vkey]).ok


@pytest.mark.parametrize("origin", ["ledger.example/t/5", "h/t/0", "ledger.example/anchors"])
def test_an_origin_that_our_logs_have_is_held_to_our_rules(foreign: Callable[..., ForeignLog], origin: str) -> None:
    log = foreign(name=origin).write(2, origin=origin)
    assert not verify_directory(log.root, log_keys=[log.vkey]).ok
