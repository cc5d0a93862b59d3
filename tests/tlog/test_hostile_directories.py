"""Whatever lies in a directory, verification ends soon and without raising."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.tlog import files
from infrastructure.tlog.verify import verify_directory

Bundles = Callable[[int], Path]
PATHS = ["checkpoint", "log.vkey", "manifest.json", "manifest.note", "keys.json", "tile/0/000", "tile/entries/000"]


def refusal(root: Path) -> str:
    outcome = verify_directory(root)
    assert not outcome.ok
    assert outcome.first_error
    assert outcome.first_error.isprintable()
    assert len(outcome.first_error) < 1000
    return outcome.first_error


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for path in ("missing", "file", "empty", "x" * 300, "file/x"):
        assert "checkpoint: missing" in refusal(tmp_path / path)


@pytest.mark.parametrize("path", PATHS)
def test_a_fifo_does_not_block(bundle: Bundles, path: str) -> None:
    root = bundle(256)
    (root / path).unlink()
    os.mkfifo(root / path)
    assert refusal(root) == f"{path}: not a regular file"


@pytest.mark.parametrize("path", PATHS)
def test_an_endless_device_is_not_read(bundle: Bundles, path: str) -> None:
    root = bundle(256)
    (root / path).unlink()
    (root / path).symlink_to("/dev/zero")
    assert refusal(root) == f"{path}: not a regular file"


@pytest.mark.parametrize("path", PATHS)
def test_a_giant_file_is_not_read(bundle: Bundles, path: str) -> None:
    root = bundle(256)
    with (root / path).open("r+b") as file:
        file.truncate(1 << 42)
    assert path in refusal(root)


def test_a_cycle_of_symlinks_is_refused(bundle: Bundles) -> None:
    root = bundle(2)
    (root / "loop").symlink_to(root)
    assert refusal(root) == "loop: not a regular file"
    (root / "loop").unlink()
    (root / "checkpoint").unlink()
    (root / "checkpoint").symlink_to("checkpoint")
    assert refusal(root) == "checkpoint: not a regular file"


def test_a_deep_tree_is_refused(bundle: Bundles) -> None:
    root = bundle(2)
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(2_000):  # deeper than any path can say
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    assert "nested deeper" in refusal(root)
    _remove_deep(root)


def _remove_deep(root: Path) -> None:
    """Shorten the tree so that any tool can remove it: move what lies below upwards, one level at a time."""
    while (root / "d" / "d").exists():
        (root / "d" / "d").rename(root / "e")
        (root / "d").rmdir()
        (root / "e").rename(root / "d")


def test_names_that_are_no_utf8_or_drive_a_terminal_are_escaped(bundle: Bundles) -> None:
    root = bundle(2)
    for name in (b"\xff\xfe", b"\x1b[2J", b"\xe2\x80\xae"):
        (Path(os.fsdecode(os.fsencode(root) + b"/" + name))).touch()
        assert refusal(root).isascii()
        (Path(os.fsdecode(os.fsencode(root) + b"/" + name))).unlink()
    assert verify_directory(root).ok


def test_more_names_than_any_log_needs_end_the_listing(bundle: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    root = bundle(2)
    monkeypatch.setattr(files, "MAX_NAMES", 50)
    for number in range(60):
        (root / f"x{number}").touch()
    assert refusal(root) == ".: more than 50 names"


@pytest.mark.slow
def test_very_many_files_end_the_listing_soon(bundle: Bundles) -> None:
    root = bundle(2)
    (root / "many").mkdir()
    for number in range(150_000):
        os.close(os.open(root / "many" / str(number), os.O_CREAT | os.O_WRONLY))
    assert refusal(root) == "many: more than 100000 names"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_refused(bundle: Bundles) -> None:
    root = bundle(2)
    (root / "keys.json").chmod(0)
    assert "keys.json: cannot be read" in refusal(root)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from([*PATHS, "new", "tile/0/000.p/3"]), data=st.binary(max_size=400))
def test_no_bytes_in_any_file_raise(bundle: Bundles, tmp_path: Path, path: str, data: bytes) -> None:
    copy = tmp_path / "copy of 256"
    root = copy if copy.exists() else bundle(256)
    before = (root / path).read_bytes() if (root / path).exists() else None
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_bytes(data)
    assert path in refusal(root)
    (root / path).unlink()
    if before is not None:
        (root / path).write_bytes(before)
    elif path.startswith("tile"):
        (root / path).parent.rmdir()
