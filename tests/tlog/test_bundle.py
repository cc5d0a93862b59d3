import base64
import hashlib
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ConflictError, MalformedError, UnavailableError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import EMPTY_ROOT, leaf_hash
from domain.transparency.note import VerifierKey, parse_note
from domain.transparency.tiles import required_paths
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.reader import read_checkpoint, read_entries
from infrastructure.tlog.signing import LogSigner

SIZES = [0, 1, 2, 255, 256, 257, 600]
AT = 1_700_000_000
SIGNED = {"checkpoint", "manifest.json", "manifest.note"}


def files_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def entry(index: int) -> bytes:
    return b"entry %d " % index + b"." * (index % 50)


@pytest.mark.parametrize("size", SIZES)
def test_a_bundle_holds_exactly_the_files_that_its_size_needs(original: Callable[[int], Path], size: int) -> None:
    expected = {"checkpoint", "log.vkey", "manifest.json", "manifest.note", "keys.json", "extra/1.note", "empty"}
    assert files_of(original(size)).keys() == expected | set(required_paths(size))


@pytest.mark.parametrize("size", SIZES)
def test_the_entries_read_back_and_give_the_root(original: Callable[[int], Path], size: int) -> None:
    entries = list(read_entries(original(size)))
    assert entries == [entry(index) for index in range(size)]
    checkpoint = read_checkpoint(original(size))
    root = Frontier.empty().extend(leaf_hash(one) for one in entries).root()
    assert checkpoint == Checkpoint("ledger.example/t/5", size, root)


def test_the_empty_log_has_no_tile(original: Callable[[int], Path]) -> None:
    assert not (original(0) / "tile").exists()
    assert read_checkpoint(original(0)).root == EMPTY_ROOT


def test_manifest_and_note_are_as_the_format_says(original: Callable[[int], Path], signer: LogSigner) -> None:
    files = files_of(original(2))
    manifest = json.loads(files["manifest.json"])
    listed = ["checkpoint", "empty", "extra/1.note", "keys.json", "log.vkey"]
    assert list(manifest) == ["files"]
    assert list(manifest["files"]) == listed
    for path in listed:
        assert manifest["files"][path] == {
            "sha256": hashlib.sha256(files[path]).hexdigest(),
            "size": len(files[path]),
        }
    header, origin, size, digest, end = parse_note(files["manifest.note"]).text.decode().split("\n")
    assert (header, origin, size, end) == ("ledger-bundle/v1", "ledger.example/t/5", "2", "")
    assert digest.encode() == base64.b64encode(hashlib.sha256(files["manifest.json"]).digest())
    assert [VerifierKey.parse(line) for line in files["log.vkey"].decode().splitlines()] == list(signer.verifier_keys())


def test_equal_entries_give_equal_files_but_for_signatures(
    original: Callable[[int], Path], signer: LogSigner, tmp_path: Path
) -> None:
    extra = {"empty": b"", "extra/1.note": b"a note\n", "keys.json": b'{"streams":{}}'}
    write_bundle(map(entry, range(600)), size=600, signer=signer, at_unix_s=AT, out=tmp_path / "b", extra=extra.items())
    ours, theirs = files_of(original(600)), files_of(tmp_path / "b")
    assert ours.keys() == theirs.keys()
    assert {path for path in ours if ours[path] != theirs[path]} <= SIGNED
    for path in ("checkpoint", "manifest.note"):
        assert path == "manifest.note" or parse_note(ours[path]).text == parse_note(theirs[path]).text


def test_memory_does_not_grow_with_the_log(signer: LogSigner, tmp_path: Path) -> None:
    def entries() -> Iterator[bytes]:
        for index in range(8_000):
            yield index.to_bytes(4) * 500

    tracemalloc.start()
    write_bundle(entries(), size=8_000, signer=signer, at_unix_s=AT, out=tmp_path / "b")
    for _ in read_entries(tmp_path / "b"):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000  # of 16 MB of entries


def test_progress_counts_entries(signer: LogSigner, tmp_path: Path) -> None:
    seen: list[int] = []
    write_bundle(
        map(entry, range(600)), size=600, signer=signer, at_unix_s=AT, out=tmp_path / "b", progress=seen.append
    )
    assert seen == [256, 512, 600]


@pytest.mark.parametrize("count", [0, 1, 4, 6, 300])
def test_another_number_of_entries_than_the_size_leaves_nothing_behind(
    signer: LogSigner, tmp_path: Path, count: int
) -> None:
    with pytest.raises(MalformedError, match="than 5 entries"):
        write_bundle(map(entry, range(count)), size=5, signer=signer, at_unix_s=AT, out=tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [b"", b"x" * 65_536])
def test_an_entry_out_of_bounds_leaves_nothing_behind(signer: LogSigner, tmp_path: Path, bad: bytes) -> None:
    with pytest.raises(MalformedError, match="entry 1 has"):
        write_bundle([b"good", bad], size=2, signer=signer, at_unix_s=AT, out=tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_the_longest_entry_is_written(signer: LogSigner, tmp_path: Path) -> None:
    write_bundle([b"x" * 65_535], size=1, signer=signer, at_unix_s=AT, out=tmp_path / "b")
    assert list(read_entries(tmp_path / "b")) == [b"x" * 65_535]


def test_nothing_is_signed_where_the_entries_give_another_root(signer: LogSigner, tmp_path: Path) -> None:
    root = Frontier.empty().append(leaf_hash(b"one")).root()
    arguments: dict[str, Any] = {"size": 1, "signer": signer, "at_unix_s": AT, "out": tmp_path / "b", "root": root}
    with pytest.raises(VerificationError, match="nothing was signed"):
        write_bundle([b"two"], **arguments)
    assert list(tmp_path.iterdir()) == []
    assert write_bundle([b"one"], **arguments).root == root


@pytest.mark.parametrize("kind", ["file", "directory", "symlink", "dangling"])
def test_what_is_there_already_is_never_replaced(signer: LogSigner, tmp_path: Path, kind: str) -> None:
    out, target = tmp_path / "b", tmp_path / "target"
    target.mkdir()
    if kind == "file":
        out.write_bytes(b"mine")
    elif kind == "directory":
        out.mkdir()
        (out / "mine").touch()
    else:
        out.symlink_to(target if kind == "symlink" else tmp_path / "nowhere")
    with pytest.raises(ConflictError):
        write_bundle([], size=0, signer=signer, at_unix_s=AT, out=out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "target"]


def test_an_empty_directory_and_missing_parents_are_filled(signer: LogSigner, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b c" / "d"):
        write_bundle([b"one"], size=1, signer=signer, at_unix_s=AT, out=out)
        assert list(read_entries(out)) == [b"one"]
        assert [path.name for path in out.parent.iterdir() if path.name.startswith(".")] == []


def test_a_bundle_written_meanwhile_is_kept(signer: LogSigner, tmp_path: Path) -> None:
    out = tmp_path / "b"

    def entries() -> Iterator[bytes]:
        yield b"one"
        out.mkdir()
        (out / "theirs").touch()

    with pytest.raises(ConflictError):
        write_bundle(entries(), size=1, signer=signer, at_unix_s=AT, out=out)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_disk_that_refuses_is_told_apart(signer: LogSigner, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot write"):
        write_bundle([], size=0, signer=signer, at_unix_s=AT, out=tmp_path / "file" / "b")


@pytest.mark.parametrize(
    "path",
    [
        "checkpoint",
        "log.vkey",
        "manifest.json",
        "manifest.note",
        "manifest.json/x",
        "checkpoint/x",
        "tile/0/000.p/1",
        "tile",
        "../x",
        "/x",
        "a//b",
        "a/../b",
        ".hidden",
        "a/.",
        "",
        "a b",
        "\u00e4",
        "a\n",
        "a/" * 8 + "b",
    ],
)
def test_a_path_that_no_bundle_may_hold_is_refused(signer: LogSigner, tmp_path: Path, path: str) -> None:
    with pytest.raises(MalformedError):
        write_bundle([], size=0, signer=signer, at_unix_s=AT, out=tmp_path / "b", extra=[(path, b"")])
    assert list(tmp_path.iterdir()) == []


def test_a_file_cannot_also_be_a_directory(signer: LogSigner, tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="as a file and as a directory"):
        write_bundle([], size=0, signer=signer, at_unix_s=AT, out=tmp_path / "b", extra=[("a", b""), ("a/b", b"")])


def test_entries_before_a_fault_are_read_and_the_fault_is_named(bundle: Callable[[int], Path]) -> None:
    root = bundle(600)
    (root / "tile/entries/001").write_bytes(b"\x00")
    entries = read_entries(root)
    for index in range(256):
        assert next(entries) == entry(index)
    with pytest.raises(VerificationError, match="tile/entries/001: the bundle ends within entry 0"):
        next(entries)
    (root / "checkpoint").write_bytes(b"no checkpoint")
    with pytest.raises(VerificationError, match="checkpoint"):
        next(read_entries(root))
