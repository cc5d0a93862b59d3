"""keys.json: whose it is, how large it may be, and that it has one spelling."""

import os
import tracemalloc
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, VerificationError
from infrastructure.audit.disclosure import KEYS, MAX_KEYS_BYTES, keys_document, read_keys
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.keys.keyring import LogKind
from infrastructure.keys.stream_keys import StreamKey
from tests.audit.conftest import Scene

ORIGIN = "ledger.example/t/5"
KEY = st.builds(
    StreamKey,
    st.uuids(),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=32, max_size=32),
)


def mode(path: Path) -> int:
    """Return a file's permissions."""
    return path.stat().st_mode & 0o7777


def test_keys_are_their_owners_alone_and_so_is_the_directory_that_they_lie_in(scene: Scene, tmp_path: Path) -> None:
    for number, umask in enumerate((0o000, 0o022, 0o077)):
        out = tmp_path / f"{number}"
        if number:
            out.mkdir(mode=0o755)  # an empty directory may be there already
        before = os.umask(umask)
        try:
            export_bundle(scene.cell.ledger, scene.member.log_id, out, with_keys="all")
        finally:
            os.umask(before)
        assert (mode(out), mode(out / KEYS)) == (0o700, 0o600)


def test_a_bundle_without_keys_is_anybodys(scene: Scene, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        export_bundle(scene.cell.ledger, scene.member.log_id, tmp_path / "out")
    finally:
        os.umask(before)
    assert (mode(tmp_path / "out"), mode(tmp_path / "out" / "checkpoint")) == (0o755, 0o644)
    assert not (tmp_path / "out" / KEYS).exists()


def test_a_log_without_entries_has_nothing_to_disclose(scene: Scene, tmp_path: Path) -> None:
    log, _ = scene.cell.ledger.create_log(LogKind.TENANT, "ledger.example")
    for name in ("all", str(log.log_id)):
        with pytest.raises(MalformedError, match="no entry yet"):
            export_bundle(scene.cell.ledger, log.log_id, tmp_path / "out", with_keys=name)
    assert scene.cell.ledger.head(log.log_id).size == 0


@given(keys=st.lists(KEY, max_size=6, unique_by=(lambda key: (key.stream_id, key.generation), lambda key: key.tag)))
def test_what_is_printed_is_read(tmp_path_factory: pytest.TempPathFactory, keys: list[StreamKey]) -> None:
    folder = tmp_path_factory.mktemp("keys")
    (folder / KEYS).write_bytes(keys_document(ORIGIN, keys))
    assert read_keys(folder) == (ORIGIN, {key.tag: key for key in keys})


@given(keys=st.lists(KEY, min_size=1, max_size=3), at=st.floats(0, 1, exclude_max=True), byte=st.binary(max_size=2))
def test_another_spelling_is_refused(
    tmp_path_factory: pytest.TempPathFactory, keys: list[StreamKey], at: float, byte: bytes
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    data = keys_document(ORIGIN, keys)
    place = int(at * len(data))
    (folder / KEYS).write_bytes(data[:place] + byte + data[place + 1 :])
    changed = (folder / KEYS).read_bytes()
    with suppress(MalformedError):
        origin, found = read_keys(folder)
        assert keys_document(origin, found.values()) == changed


@pytest.mark.parametrize("twice", ["stream", "tag"])
def test_a_stream_or_tag_that_stands_there_twice_is_refused(tmp_path: Path, twice: str) -> None:
    one = StreamKey(UUID(int=1), 0, b"t" * 16, b"k" * 32)
    other = StreamKey(UUID(int=1 if twice == "stream" else 2), 0, (b"u" if twice == "stream" else b"t") * 16, b"l" * 32)
    (tmp_path / KEYS).write_bytes(keys_document(ORIGIN, [one, other]))
    with pytest.raises(MalformedError, match="twice"):
        read_keys(tmp_path)


def test_a_keys_file_takes_little_more_memory_than_it_is_long_and_has_a_bound(tmp_path: Path) -> None:
    rows = (StreamKey(UUID(int=number), 0, number.to_bytes(16), bytes(32)) for number in range(20_000))
    data = keys_document(ORIGIN, rows)
    (tmp_path / KEYS).write_bytes(data)
    tracemalloc.start()
    _, keys = read_keys(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(keys) == 20_000
    assert peak < 5 * len(data)
    with (tmp_path / KEYS).open("wb") as file:
        file.truncate(MAX_KEYS_BYTES + 1)
    assert MAX_KEYS_BYTES == 64 * 1024 * 1024
    with pytest.raises(VerificationError, match=r"keys\.json: longer than"):
        read_keys(tmp_path)


def test_a_changed_byte_of_the_keys_is_found_before_any_of_them_is_used(scene: Scene, tmp_path: Path) -> None:
    export_bundle(scene.cell.ledger, scene.member.log_id, tmp_path / "out", with_keys="all")
    data = bytearray((tmp_path / "out" / KEYS).read_bytes())
    for place in range(0, len(data), len(data) // 7):
        data[place] ^= 1
        (tmp_path / "out" / KEYS).write_bytes(data)
        verdict = verify_bundle(tmp_path / "out")
        assert not verdict.ok
        assert (verdict.first_error or "").startswith("keys.json: ")
        data[place] ^= 1
