"""The tamper catalogue: whatever is done to a bundle of ours, verification names it."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError, RefusedError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import leaf_hash
from domain.transparency.note import Note, parse_note
from domain.transparency.tiles import encode_entries
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.layout import Listed, manifest_text, print_keys
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verify import verify_directory

SIZES = [0, 1, 2, 255, 256, 257, 600]
ORIGIN = "ledger.example/t/5"
AT = 1_700_000_000
Bundles = Callable[[int], Path]


def entry(index: int) -> bytes:
    return b"entry %d " % index + b"." * (index % 50)


def paths_of(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def refusal(root: Path, *keys: str) -> str:
    """Return the first error; with keys and without, the directory must be refused."""
    outcomes = [verify_directory(root), verify_directory(root, log_keys=keys)] if keys else [verify_directory(root)]
    for outcome in outcomes:
        assert not outcome.ok
        assert outcome.trust == "not verified"
    assert outcomes[0].first_error is not None
    return outcomes[0].first_error


def resign(root: Path, signer: LogSigner) -> None:
    """Write manifest and note again over what lies there: what an insider with the log's keys could do."""
    tiles = ("tile/", "manifest.")
    files = {path: Listed.of((root / path).read_bytes()) for path in paths_of(root) if not path.startswith(tiles)}
    manifest = canonical({"files": {path: {"sha256": of.sha256, "size": of.size} for path, of in files.items()}})
    size = parse_note((root / "checkpoint").read_bytes()).text.split(b"\n")[1]
    (root / "manifest.json").write_bytes(manifest)
    (root / "manifest.note").write_bytes(signer.sign_note(manifest_text(ORIGIN, int(size), manifest), AT))


@pytest.mark.parametrize("size", SIZES)
def test_a_bundle_is_self_consistent_and_with_its_key_verified(original: Bundles, signer: LogSigner, size: int) -> None:
    ed25519, mldsa44 = signer.verifier_keys()
    alone = verify_directory(original(size))
    assert (alone.ok, alone.first_error) == (True, None)
    assert alone.trust == "self-consistent; origin not authenticated"
    assert alone.fingerprints == (ed25519.fingerprint, mldsa44.fingerprint)
    assert any("keys came with the bundle" in words for words in alone.not_checked)
    for keys in ((ed25519,), (mldsa44,), (ed25519, mldsa44)):
        outcome = verify_directory(original(size), log_keys=[str(key) for key in keys])
        assert (outcome.ok, outcome.trust, outcome.origin, outcome.size) == (True, "verified", ORIGIN, size)
        assert any("not independently witnessed" in words for words in outcome.not_checked)
        assert any(mldsa44.fingerprint in words for words in outcome.not_checked) == (mldsa44 not in keys)
        assert outcome.signed_at_unix_s == AT
    root = parse_note((original(size) / "checkpoint").read_bytes()).text
    assert alone.root_hex == Checkpoint.parse(root).root.hex()


@pytest.mark.parametrize("size", SIZES)
def test_any_changed_byte_of_any_file_is_named(bundle: Bundles, signer: LogSigner, size: int) -> None:
    root, draw = bundle(size), random.Random(size)
    key = str(signer.verifier_keys()[0])
    for path in paths_of(root):
        data = (root / path).read_bytes()
        places = range(len(data)) if len(data) < 40 else sorted(draw.sample(range(len(data)), 40))
        for place in places:
            changed = bytearray(data)
            changed[place] ^= 1 << draw.randrange(8)
            (root / path).write_bytes(changed)
            assert path in refusal(root, key), (path, place)
        (root / path).write_bytes(data)
    assert verify_directory(root, log_keys=[key]).ok


def test_every_bit_of_the_small_files_counts(bundle: Bundles) -> None:
    root = bundle(2)
    for path in ("tile/0/000.p/2", "tile/entries/000.p/2", "extra/1.note"):
        data = (root / path).read_bytes()
        for bit in range(8 * len(data)):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            (root / path).write_bytes(changed)
            assert path in refusal(root), (path, bit)
        (root / path).write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["checkpoint", "manifest.note", "manifest.json", "log.vkey"])
def test_every_bit_of_the_signed_files_counts(bundle: Bundles, path: str) -> None:
    root = bundle(2)
    data = (root / path).read_bytes()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        (root / path).write_bytes(changed)
        assert path in refusal(root), bit


@pytest.mark.parametrize("size", SIZES)
def test_a_file_that_is_removed_renamed_cut_or_longer_is_named(bundle: Bundles, signer: LogSigner, size: int) -> None:
    root, key = bundle(size), str(signer.verifier_keys()[1])
    for path in paths_of(root):
        file = root / path
        data = file.read_bytes()
        file.unlink()
        assert path in refusal(root, key)
        file.with_name("other").write_bytes(data)
        assert path in refusal(root, key)
        file.with_name("other").unlink()
        for changed in (b"", data[:-1], data[1:], data + b"\0", data + b"\n", data + data[-32:]):
            if changed != data:
                file.write_bytes(changed)
                assert path in refusal(root, key), (path, len(changed))
        file.unlink()
        file.mkdir()
        assert path in refusal(root, key)
        file.rmdir()
        file.symlink_to(root / "elsewhere")
        assert path in refusal(root, key)
        file.unlink()
        file.write_bytes(data)
    assert verify_directory(root, log_keys=[key]).ok


@pytest.mark.parametrize("size", [0, 2, 256, 600])
@pytest.mark.parametrize(
    "path",
    [
        "x",
        ".x",
        "x/y",
        "checkpoint.old",
        "keys/2.note",
        "tile/x",
        "tile/0/999",
        "tile/0/000.p/1",
        "tile/0/003",
        "tile/0/002.p/87",
        "tile/entries/000.p/255",
        "tile/entries/003",
        "tile/entries/x000/000",
        "tile/1/001.p/1",
        "tile/2/000.p/1",
        "tile/data/000",
        "tile/63/000",
        "caf\u00e9",
        "line\nbreak",
    ],
)
def test_an_added_file_is_named(bundle: Bundles, size: int, path: str) -> None:
    root = bundle(size)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(b"x" * 32)
    error = refusal(root)
    assert error.isascii()
    assert error.isprintable()
    assert path in error or ascii(path) in error


@pytest.mark.parametrize("path", ["x", "tile/0/x001", "tile/3", "keys/more", "tile/entries/000.p"])
def test_an_added_empty_directory_is_named(bundle: Bundles, path: str) -> None:
    root = bundle(256)
    (root / path).mkdir(parents=True)
    assert path in refusal(root)


def test_a_symlink_to_the_right_bytes_is_refused(bundle: Bundles, tmp_path: Path) -> None:
    root = bundle(257)
    for path in ("checkpoint", "keys.json", "tile/0/000", "tile"):
        moved = tmp_path / "moved"
        (root / path).rename(moved)
        (root / path).symlink_to(moved)
        assert f"{path}: not a regular file" in refusal(root)
        (root / path).unlink()
        moved.rename(root / path)
    assert verify_directory(root).ok


def test_swapped_entries_are_named_with_their_index(bundle: Bundles) -> None:
    root = bundle(600)
    entries = [entry(index) for index in range(256, 512)]
    entries[10], entries[11] = entries[11], entries[10]
    (root / "tile/entries/001").write_bytes(encode_entries(entries))
    assert "tile/entries/001: entry 266 " in refusal(root)


def test_entries_changed_with_their_leaf_tile_are_found_above(bundle: Bundles) -> None:
    root = bundle(600)
    entries = [entry(index) for index in range(256, 512)]
    entries[10] = b"forged"
    (root / "tile/entries/001").write_bytes(encode_entries(entries))
    (root / "tile/0/001").write_bytes(b"".join(map(leaf_hash, entries)))
    assert refusal(root) == "tile/1/000.p/2: hash 1 is not the root of tile/0/001"


def test_entries_changed_with_every_tile_are_found_at_the_root(bundle: Bundles) -> None:
    root = bundle(2)
    entries = [b"one", b"two"]
    (root / "tile/entries/000.p/2").write_bytes(encode_entries(entries))
    (root / "tile/0/000.p/2").write_bytes(b"".join(map(leaf_hash, entries)))
    assert refusal(root) == "checkpoint: its root is not that of the 2 entries"


def test_swapped_files_are_named(bundle: Bundles) -> None:
    root = bundle(600)
    for one, other in (("tile/0/000", "tile/0/001"), ("tile/entries/000", "tile/entries/001"), ("empty", "keys.json")):
        first, second = (root / one).read_bytes(), (root / other).read_bytes()
        (root / one).write_bytes(second)
        (root / other).write_bytes(first)
        assert one in (error := refusal(root)) or other in error
        (root / one).write_bytes(first)
        (root / other).write_bytes(second)


def test_a_relabelled_size_is_refused(bundle: Bundles, signer: LogSigner) -> None:
    root = bundle(257)
    note = parse_note((root / "checkpoint").read_bytes())
    for size in (0, 256, 258, 2**62):
        text = Checkpoint(ORIGIN, size, Checkpoint.parse(note.text).root).to_text() if size else b"o\n0\n\n"
        (root / "checkpoint").write_bytes(text + b"\n" + note.to_bytes()[len(note.text) + 1 :])
        assert "checkpoint" in refusal(root)
        if size:  # the log itself signs a size that its entries do not have
            (root / "checkpoint").write_bytes(signer.sign_checkpoint(text, AT))
            resign(root, signer)
            assert not verify_directory(root).ok


def test_an_older_checkpoint_of_the_same_log_does_not_fit(bundle: Bundles, original: Bundles) -> None:
    for name in ("checkpoint", "manifest.note", "manifest.json"):
        root = bundle(257)
        shutil.copy(original(256) / name, root / name)
        assert not verify_directory(root).ok
        shutil.rmtree(root)
    root = bundle(257)
    for name in ("checkpoint", "manifest.note", "manifest.json"):
        shutil.copy(original(256) / name, root / name)
    assert "tile/" in refusal(root)


@pytest.mark.parametrize("path", ["checkpoint", "manifest.note"])
@pytest.mark.parametrize("kept", [0, 1])
def test_a_stripped_signature_is_called_that(bundle: Bundles, signer: LogSigner, path: str, kept: int) -> None:
    root = bundle(2)
    note = parse_note((root / path).read_bytes())
    (root / path).write_bytes(Note(note.text, (note.signatures[kept],)).to_bytes())
    error = refusal(root, *map(str, signer.verifier_keys()))
    assert error.startswith(f"{path}: signature stripped")
    if path == "checkpoint":
        resign(root, signer)
        assert refusal(root).startswith("checkpoint: signature stripped")


@pytest.mark.parametrize("path", ["checkpoint", "manifest.note"])
def test_a_further_repeated_or_reordered_signature_is_refused(bundle: Bundles, signer: LogSigner, path: str) -> None:
    root = bundle(2)
    note = parse_note((root / path).read_bytes())
    stranger = LogSigner.from_seeds("witness.example/w", b"1" * 32, b"2" * 32)
    foreign = parse_note(stranger.sign_note(b"x\n", AT)).signatures[0]
    first, second = note.signatures
    for lines in ((first, second, foreign), (foreign, first, second), (first, first, second), (second, first)):
        (root / path).write_bytes(Note(note.text, lines).to_bytes())
        if path == "checkpoint":
            resign(root, signer)
        assert refusal(root).startswith(f"{path}: its signature lines" if len(lines) == 2 else f"{path}: it has a")


def test_a_checkpoint_with_an_extension_line_is_refused(bundle: Bundles, signer: LogSigner) -> None:
    root = bundle(2)
    note = parse_note((root / "checkpoint").read_bytes())
    (root / "checkpoint").write_bytes(Note(note.text + b"extension\n", note.signatures).to_bytes())
    resign(root, signer)
    assert refusal(root) == "checkpoint: a checkpoint has exactly three lines"


def test_a_bundle_forged_with_fresh_keys_fails_with_the_right_key(tmp_path: Path, signer: LogSigner) -> None:
    forger = LogSigner.from_seeds(ORIGIN, b"f" * 32, b"g" * 32)
    write_bundle([b"forged"], size=1, signer=forger, at_unix_s=AT, out=tmp_path / "b")
    assert verify_directory(tmp_path / "b").trust == "self-consistent; origin not authenticated"
    for key in signer.verifier_keys():
        outcome = verify_directory(tmp_path / "b", log_keys=[str(key)])
        assert not outcome.ok
        assert key.fingerprint in str(outcome.first_error)
    assert verify_directory(tmp_path / "b", log_keys=[str(forger.verifier_keys()[0])]).trust == "verified"


def test_half_a_key_set_does_not_pass_for_the_whole(bundle: Bundles, signer: LogSigner) -> None:
    """Whoever has the Ed25519 key alone, such as after a break of it, makes a second key of its own."""
    root = bundle(2)
    thief = LogSigner.from_seeds(ORIGIN, b"e" * 32, b"g" * 32)
    (root / "log.vkey").write_bytes(print_keys(thief.verifier_keys()))
    (root / "checkpoint").write_bytes(thief.sign_checkpoint(parse_note((root / "checkpoint").read_bytes()).text, AT))
    resign(root, thief)
    ed25519, mldsa44 = map(str, signer.verifier_keys())
    assert verify_directory(root, log_keys=[ed25519]).ok
    assert not verify_directory(root, log_keys=[ed25519, mldsa44]).ok
    (root / "log.vkey").write_bytes(f"{ed25519}\n".encode())
    assert "log.vkey: not an Ed25519 and an ML-DSA-44 key" in refusal(root)


def test_the_checkpoint_of_another_log_is_refused(bundle: Bundles, signer: LogSigner, tmp_path: Path) -> None:
    other = LogSigner.from_seeds("ledger.example/t/6", b"e" * 32, b"m" * 32)
    write_bundle(map(entry, range(2)), size=2, signer=other, at_unix_s=AT, out=tmp_path / "other")
    root = bundle(2)
    shutil.copy(tmp_path / "other" / "checkpoint", root / "checkpoint")
    assert "checkpoint" in refusal(root)
    outcome = verify_directory(tmp_path / "other", log_keys=[str(signer.verifier_keys()[0])])
    assert "no key given from outside is named for origin ledger.example/t/6" in str(outcome.first_error)
    both = [str(key) for key in (*signer.verifier_keys(), *other.verifier_keys())]
    assert verify_directory(tmp_path / "other", log_keys=both).trust == "verified"


def test_a_bundle_of_ours_does_not_become_foreign_without_its_manifest(bundle: Bundles, signer: LogSigner) -> None:
    root = bundle(2)
    for name in ("manifest.json", "manifest.note"):
        (root / name).unlink()
        assert "manifest." in refusal(root, str(signer.verifier_keys()[0]))


def test_a_manifest_that_lists_too_little_or_too_much_is_refused(bundle: Bundles, signer: LogSigner) -> None:
    root = bundle(1)
    listed = parse_canonical((root / "manifest.json").read_bytes())["files"]
    good = listed["keys.json"]
    wrong: list[Any] = [
        {path: of for path, of in listed.items() if path != "checkpoint"},
        {path: of for path, of in listed.items() if path != "log.vkey"},
        {path: of for path, of in listed.items() if path != "keys.json"},
        listed | {"missing": good},
        listed | {"tile/0/000.p/1": good},
        listed | {"manifest.json": good},
        listed | {"../outside": good},
        listed | {"/etc/passwd": good},
        listed | {"keys.json/x": good},
        listed | {"keys.json": good | {"size": good["size"] + 1}},
        listed | {"keys.json": good | {"size": -1}},
        listed | {"keys.json": good | {"size": True}},
        listed | {"keys.json": good | {"size": 2**40}},
        listed | {"keys.json": good | {"sha256": good["sha256"].upper()}},
        listed | {"keys.json": good | {"more": 1}},
        listed | {"keys.json": []},
        [],
    ]
    for files in wrong:
        manifest = canonical({"files": files})
        (root / "manifest.json").write_bytes(manifest)
        (root / "manifest.note").write_bytes(signer.sign_note(manifest_text(ORIGIN, 1, manifest), AT))
        assert not verify_directory(root).ok, files
    for manifest in (b"", b"{}", b"[]", b'{"files":{}}', b'{"files": {}}', b"[" * 100_000, b'{"files":{},"x":1}'):
        (root / "manifest.json").write_bytes(manifest)
        (root / "manifest.note").write_bytes(signer.sign_note(manifest_text(ORIGIN, 1, manifest), AT))
        assert "manifest.json" in refusal(root)


def test_a_manifest_of_another_origin_or_size_is_refused(bundle: Bundles, signer: LogSigner) -> None:
    root = bundle(1)
    manifest = (root / "manifest.json").read_bytes()
    for text in (
        manifest_text("ledger.example/t/6", 1, manifest),
        manifest_text(ORIGIN, 2, manifest),
        manifest_text(ORIGIN, 1, manifest).replace(b"v1", b"v2"),
        manifest_text(ORIGIN, 1, manifest) + b"more\n",
    ):
        (root / "manifest.note").write_bytes(signer.sign_note(text, AT))
        assert "manifest." in refusal(root)


def test_an_empty_entry_is_refused_even_where_the_log_signed_it(tmp_path: Path, signer: LogSigner) -> None:
    root = tmp_path / "b"
    write_bundle([b"one"], size=1, signer=signer, at_unix_s=AT, out=root)
    (root / "tile/entries/000.p/1").write_bytes(b"\0\0")
    (root / "tile/0/000.p/1").write_bytes(leaf_hash(b""))
    text = Checkpoint(ORIGIN, 1, leaf_hash(b"")).to_text()
    (root / "checkpoint").write_bytes(signer.sign_checkpoint(text, AT))
    resign(root, signer)
    assert refusal(root) == "tile/entries/000.p/1: entry 0 is empty"


def test_every_entry_is_shown_to_the_check_with_index_and_origin(original: Bundles) -> None:
    seen: list[tuple[int, bytes, str]] = []
    outcome = verify_directory(original(600), check_entry=lambda *shown: seen.append(shown))
    assert outcome.ok
    assert seen == [(index, entry(index), ORIGIN) for index in range(600)]
    assert any("form" in words for words in outcome.checked)

    def refuse(index: int, entry: bytes, origin: str) -> None:
        if index == 300:
            raise MalformedError("no COSE")

    assert verify_directory(original(600), check_entry=refuse).first_error == "tile/entries/001: entry 300: no COSE"


def test_what_the_check_says_is_bounded_and_printable(original: Bundles) -> None:
    def refuse(index: int, entry: bytes, origin: str) -> None:
        raise ValueError("\x1b[2J" + "long" * 1000)

    error = str(verify_directory(original(1), check_entry=refuse).first_error)
    assert error.isprintable()
    assert "entry 0" in error
    assert len(error) < 1100


def test_progress_counts_entries(original: Bundles) -> None:
    seen: list[int] = []
    assert verify_directory(original(600), progress=seen.append).ok
    assert seen == [256, 512, 600]


def test_a_key_from_outside_that_is_none_is_refused_before_anything(original: Bundles) -> None:
    with pytest.raises(RefusedError):
        verify_directory(original(0), log_keys=["no key"])


def test_a_log_over_several_levels_verifies_and_fails_after_changes(tmp_path: Path, signer: LogSigner) -> None:
    size, root = 65_536 + 259, tmp_path / "b"
    write_bundle((index.to_bytes(4) for index in range(size)), size=size, signer=signer, at_unix_s=AT, out=root)
    assert (root / "tile/2/000.p/1").is_file()
    assert (root / "tile/1/001.p/1").is_file()
    key = str(signer.verifier_keys()[0])
    assert verify_directory(root, log_keys=[key]).trust == "verified"
    for path in ("tile/2/000.p/1", "tile/1/001.p/1", "tile/1/000", "tile/0/255", "tile/0/257.p/3", "tile/entries/100"):
        data = (root / path).read_bytes()
        (root / path).write_bytes(data[:-1] + bytes((data[-1] ^ 1,)))
        assert path in str(verify_directory(root).first_error)
        (root / path).write_bytes(data)
