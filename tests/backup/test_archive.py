"""Archives: whole or refused."""

import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConflictError, RefusedError, UnavailableError, VerificationError
from infrastructure.backup.archive import PART_BYTES, Reader, is_name, writing
from infrastructure.backup.files import OPEN_SECRETS, add_files, place_of
from infrastructure.backup.kept import freeze_all
from infrastructure.backup.tables import LEFT_OUT, check_schema, kept_tables
from infrastructure.postgres.migrate import migrations
from infrastructure.publish.floors import RESTORED_ALONE, Floors
from tests.database import TestServer, as_role, postgres

__all__ = ["postgres"]

MADE: dict[str, Any] = {"kind": "database", "made_at": "2026-11-24T00:00:00Z", "program": "0"}


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with writing(path) as writer:
        for name, data in members.items():
            writer.add(name, len(data), (data,))
        writer.finish(MADE)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    made = archive(tmp_path_factory.mktemp("one") / "a", {"files/floors/0": b"a floor", "database/logs/00000000": b""})
    return made.read_bytes()


@given(st.data())
def test_no_byte_of_an_archive_may_change_or_be_missing(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("changed") / "a"
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = data.draw(st.sampled_from((
        whole[:at] + bytes((whole[at] ^ data.draw(st.integers(1, 255)),)) + whole[at + 1 :],
        whole[:at],
        whole[:at] + whole[at + 1 :],
        whole + b"\0",
        whole + whole,
    )))  # fmt: skip
    path.write_bytes(changed)
    with Reader(path) as reader, pytest.raises(VerificationError, match="no whole backup"):
        reader.verified()


def test_tar_reads_it_and_parts_join_to_the_stream(tmp_path: Path) -> None:
    stream = [bytes((number,)) * (PART_BYTES // 2 + 1) for number in range(5)]
    with writing(tmp_path / "a") as writer:
        writer.add_stream("database/logs", iter(stream))
        writer.finish(MADE)
    with tarfile.open(tmp_path / "a") as tar:
        names = tar.getnames()
        found = b"".join(file.read() for name in names[:-1] if (file := tar.extractfile(name)) is not None)
    assert names == [*(f"database/logs/{number:08}" for number in range(3)), "manifest.json"]
    assert found == b"".join(stream)
    with Reader(tmp_path / "a") as reader:
        manifest = reader.verified()
    assert manifest.members[names[0]].bytes == PART_BYTES
    assert manifest.members[names[0]].sha256 == sha256(found[:PART_BYTES]).hexdigest()


def test_what_fails_leaves_nothing_and_nothing_is_replaced(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="changed while"), writing(tmp_path / "a") as writer:
        writer.add("files/x", 3, (b"four",))
    with pytest.raises(ConflictError, match="another name"), writing(tmp_path / "a") as writer:
        writer.add("files/../x", 0, ())
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").touch()
    with pytest.raises(ConflictError, match="replaces nothing"), writing(tmp_path / "a"):
        pass


@pytest.mark.parametrize("name", ["/etc/x", "a/../b", "a//b", "", ".", "a/.", "x\n", "x" * 300, "ä"])
def test_names_stay_below_and_plain(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize(
    "name", ["files/keys/machine.key", "files/root.key.json", "files/postgres/x", "database/logs/0"]
)
def test_a_file_of_another_kind_of_backup_has_no_place(name: str) -> None:
    with pytest.raises(RefusedError, match="no place"):
        place_of(name, ("floors", "anchors"))


def test_no_link_is_followed_and_locks_stay(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    for name in ("0.lock", "lock", "x.tmp", "keyring.json"):
        (tmp_path / "keys" / name).write_text(name)
    with writing(tmp_path / "a") as writer:
        add_files(writer, tmp_path, ("keys", *OPEN_SECRETS))
        assert list(writer.members) == ["files/keys/keyring.json"]
        writer.finish(MADE)
    (tmp_path / "keys/link").symlink_to("/etc/hostname")
    with pytest.raises(RefusedError, match="is a link"), writing(tmp_path / "b") as writer:
        add_files(writer, tmp_path, ("keys",))


def test_a_newer_schema_and_another_one_are_refused() -> None:
    known = migrations()
    digests = [one.digest for one in known]
    assert check_schema(digests[:3], known) == 3
    with pytest.raises(RefusedError, match="use the newer program"):
        check_schema([*digests, bytes(32)], known)
    with pytest.raises(RefusedError, match="another schema"):
        check_schema([bytes(32)], known)


def test_every_table_is_kept_or_left_out_for_a_reason(postgres: TestServer) -> None:
    with postgres.database() as name, psycopg.connect(as_role(postgres.conninfo(name))) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'ledger'::regnamespace"
            " AND relkind = 'r' AND relpersistence = 'p'"
        ).fetchall()
        tables = {row[0] for row in rows}
        assert set(kept_tables(connection)) | LEFT_OUT == tables
        assert not set(kept_tables(connection)) & LEFT_OUT


def test_a_restore_freezes_an_anchor_log_too_that_had_no_floor(tmp_path: Path) -> None:
    floors = Floors(tmp_path / "floors")
    origins = ["ledger.example/t/0", "ledger.example/t/7"]
    freeze_all(tmp_path, origins, "2026-11-24T00:00:00Z", alone=True)
    anchors = "ledger.example/anchors"
    assert floors.read(anchors) is None
    for origin in (*origins, anchors):
        assert (floors.frozen(origin) or "").startswith(RESTORED_ALONE)
    other = Floors(tmp_path / "kept/floors")
    freeze_all(tmp_path / "kept", origins, "2026-11-24T00:00:00Z", alone=False)
    assert "restored from a backup of 2026" in (other.frozen(anchors) or "")
