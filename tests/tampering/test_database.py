"""The catalogue of tampering with the database and the files beside it: `audit fsck` names what and where.

Whoever owns the server changes whatever he likes, past triggers and grants. What he can't change along is outside: the
published tiles and checkpoints, the floors, the keyring, the rounds. More cases, table by table: tests/fsck. What a
restored backup does, and that nothing is appended or signed then: tests/publish/test_freezing.py, test_thawing.py.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import RefusedError, VerificationError
from domain.transparency.frontier import Frontier
from infrastructure.anchors.keys import anchor_signer
from infrastructure.publish.places import tiles_of
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tlog.signing import LogSigner
from tests.database import TestServer, as_role
from tests.tampering.database import Intruder, examine, kept_file
from tests.tampering.scene import AT_S, Scene, scene_of

EXAMPLES = min(settings.default.max_examples // 3, 500) if settings.default else 20
"""Each looks at the whole database."""

NO_EVIDENCE = {
    "anchor_checkpoints": "cosigned notes are signed themselves: they are checked in the bundle that they go into",
    "anchor_rounds.at_ms": "when a round was due; the rounds' order is their index, their time the cosignatures'",
    "anchor_witnesses": "what a witness cosigned last, as far as we know; it is asked again, and its own size decides",
    "commands.digest": "it is sealed beside the answer; the column is read for rows of the first release only",
    "decider_epoch": "which decider writes; a wrong number stops deciders and changes nothing that is stored",
    "feed_channel": "where readers listen; the feed itself is read",
    "publications.log_id": "remembers where a floor was found, so as not to look again; the floor is the file",
    "schema_migrations.name": "the file's name for people; number and digest are compared",
    "scheduler_checkpoints": "where a decider goes on from; a damaged one is made again from the views",
    "anchor_traces": "up to where a trace reaches; its root is in the round's entry, and `audit conform` holds both",
    "feed_returned": "which rows came back after a restore; who decides again meets decisions that do not follow",
    "sealed_views": "sealed for their places; `audit conform` holds each against its round's trace",
    "sealed_views_position": "how far views were made; they are made again",
    "view_editions": "read models are made again",
    "view_rows": "read models are made again; each row is sealed for its place",
    "view_faults": "read models are made again",
    "log_heads.frozen": "a reason in words; a log that is frozen by mistake is thawed with nothing to import",
}
"""Tables and columns that prove nothing to anybody, each with the reason."""


@pytest.fixture(scope="module")
def intruder(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intruder]:
    with (
        postgres.database() as name,
        scene_of(tmp_path_factory.mktemp("cell"), postgres.conninfo(name)) as scene,
        psycopg.connect(as_role(postgres.conninfo(name)), autocommit=True) as connection,
    ):
        made = Intruder(scene, connection)
        assert examine(scene) == []
        yield made
        assert examine(scene) == [], "whatever was changed was put back"


def changed(value: Any, kind: str, bit: int) -> Any:
    """Return another value of a column's type: one bit flipped, where it has bits."""
    if kind == "bytea":
        data = bytearray(value or b"\0")
        data[bit // 8 % len(data)] ^= 1 << bit % 8
        return bytes(data)
    if kind == "uuid":
        return UUID(int=value.int ^ 1 << bit % 60)
    if kind == "boolean":
        return not value
    if kind in ("bigint", "integer"):
        return value + 1_000_003
    return (value or "x")[:-1] + chr(ord((value or "x")[-1]) ^ 1 << bit % 3)


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_every_bit_of_every_column_that_is_evidence_counts_and_its_table_is_named(
    intruder: Intruder, data: Any
) -> None:
    columns = [
        (table, column, kind)
        for table, its in intruder.columns().items()
        for column, kind in its
        if table not in NO_EVIDENCE and f"{table}.{column}" not in NO_EVIDENCE and column != "only_row"
    ]
    table, column, kind = data.draw(st.sampled_from(columns))
    row = intruder.row(table, data.draw(st.integers(0, intruder.count(table) - 1)))
    value = changed(row[column], kind, data.draw(st.integers(0, 8191)))
    with intruder.inside(table):
        try:
            intruder.put(table, row["place"], column, value)
        except psycopg.errors.IntegrityError:
            return  # the schema itself has no room for it
        try:
            found = examine(intruder.scene)
        except RefusedError as error:
            found = [f"{table}: {error}"]  # another schema: nothing is even opened
    assert found, (table, column)
    known = {*intruder.columns(), "floors", "published", "keyring"}
    assert {one.partition(":")[0] for one in found} <= known
    if table == "stored_events":
        origin = {log.log_id: log.origin for log in intruder.scene.stage.ledger.logs()}[row["tenant_id"]]
        assert any(one.startswith(f"stored_events: {origin} entry {row['leaf_index']}: ") for one in found), found


def test_what_is_called_no_evidence_is_there(intruder: Intruder) -> None:
    """Names that a migration took away, or misspelt ones, would excuse nothing."""
    rows = intruder.connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'ledger'"
    ).fetchall()
    assert set(NO_EVIDENCE) <= {table for table, _ in rows} | {f"{table}.{column}" for table, column in rows}


ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a flipped bit": (
        "UPDATE ledger.stored_events SET state = set_byte(state, 200, get_byte(state, 200) # 1) WHERE {at} = 5",
        ("stored_events: {origin} entry 5: its leaf hash is not that of its bytes",),
    ),
    "a flipped bit under its own leaf hash": (
        (
            "UPDATE ledger.stored_events SET state = set_byte(state, 200, get_byte(state, 200) # 1), leaf_hash = "
            "sha256('\\x00'::bytea || set_byte(state, 200, get_byte(state, 200) # 1)) WHERE {at} = 5"
        ),
        ("stored_events: {origin} entry 5: ", "floors: {origin}: .* its root is not that of the entries"),
    ),
    "a deleted entry": (
        "DELETE FROM ledger.stored_events WHERE {at} = 5",
        ("stored_events: {origin} entry 5: missing",),
    ),
    "truncated entries": (
        "DELETE FROM ledger.stored_events WHERE {at} >= 11",
        ("stored_events: {origin} entry 11: missing, and so are all to ",),
    ),
    "an inserted entry": (
        (
            "INSERT INTO ledger.stored_events SELECT tenant_id, gen_random_uuid(), 0, topic, state, 15, leaf_hash "
            "FROM ledger.stored_events WHERE {at} = 5"
        ),
        ("stored_events: {origin} entry 15: ",),
    ),
    "swapped entries": (
        (
            "UPDATE ledger.stored_events AS e SET state = o.state, leaf_hash = o.leaf_hash FROM ledger.stored_events "
            "AS o WHERE e.{at} IN (5, 6) AND o.tenant_id = e.tenant_id AND o.leaf_index = 11 - e.leaf_index"
        ),
        (
            "stored_events: {origin} entry 5: its columns are not what the sealed entry says",
            "stored_events: {origin} entry 6: its columns are not what the sealed entry says",
        ),
    ),
    "an entry moved to another tenant": (
        "UPDATE ledger.stored_events SET tenant_id = %(other)s, leaf_index = 1000 WHERE {at} = 5",
        ("stored_events: {origin} entry 5: missing", "stored_events: {neighbour} entry 1000: "),
    ),
    "the bytes of another tenant's entry": (
        (
            "UPDATE ledger.stored_events AS e SET state = o.state, leaf_hash = o.leaf_hash FROM ledger.stored_events "
            "AS o WHERE e.{at} = 5 AND o.tenant_id = %(other)s AND o.leaf_index = 2"
        ),
        ("stored_events: {origin} entry 5: ",),
    ),
    "an entry moved to another stream": (
        "UPDATE ledger.stored_events SET stream_id = gen_random_uuid() WHERE {at} = 5",
        ("stored_events: {origin} entry 5: (sealed for another stream|its columns are not what)",),
    ),
    "a relabelled version": (
        "UPDATE ledger.stored_events SET version = 77 WHERE {at} = 5",
        ("stored_events: {origin} entry 5: its columns are not what the sealed entry says",),
    ),
}


@pytest.mark.parametrize("what", ROWS)
def test_entries_that_were_changed_in_the_database_are_named(intruder: Intruder, what: str) -> None:
    statement, words = ROWS[what]
    scene = intruder.scene
    values = {"log": scene.member.log_id, "other": scene.neighbour.log_id}
    at = "tenant_id = %(log)s AND e.leaf_index" if " AS e " in statement else "tenant_id = %(log)s AND leaf_index"
    with intruder.inside("stored_events"):
        done = intruder.connection.execute(statement.replace("{at}", at).encode(), values)
        assert done.rowcount > 0
        found = examine(scene)
    names = {"origin": scene.stage.log().origin, "neighbour": scene.stage.log(scene.neighbour).origin}
    for one in words:
        assert any(re.match(one.format(**names), line) for line in found), (one, found)


def _frontier(intruder: Intruder, hashes: list[bytes]) -> None:
    intruder.connection.execute(
        "UPDATE ledger.log_heads SET tree_size = %s, frontier = %s WHERE tenant_id = %s",
        (len(hashes), Frontier.empty().extend(hashes).to_bytes(), intruder.scene.member.log_id),
    )


def _hashes(intruder: Intruder) -> list[bytes]:
    rows = intruder.connection.execute(
        "SELECT leaf_hash FROM ledger.stored_events WHERE tenant_id = %s ORDER BY leaf_index",
        (intruder.scene.member.log_id,),
    ).fetchall()
    return [bytes(row[0]) for row in rows]


def test_a_rollback_with_a_head_that_fits_is_named_by_floor_checkpoint_and_feed(intruder: Intruder) -> None:
    with intruder.inside("stored_events", "log_heads"):
        intruder.connection.execute(
            "DELETE FROM ledger.stored_events WHERE tenant_id = %s AND leaf_index >= 9", (intruder.scene.member.log_id,)
        )
        _frontier(intruder, _hashes(intruder))
        found = examine(intruder.scene)
    origin = intruder.scene.stage.log().origin
    assert f"floors: {origin}: the checkpoint is of size 15; the database holds 9" in found
    assert f"published: {origin}: the checkpoint is of size 15; the database holds 9" in found
    assert any(one.startswith("feed: ") for one in found)


def test_a_fork_with_hashes_and_head_that_fit_is_named_by_floor_and_checkpoint(intruder: Intruder) -> None:
    scene = intruder.scene
    with intruder.inside("stored_events", "log_heads"):
        sealer = scene.sealer()
        state = scene.entries()[6]
        again = sealer.seal(sealer.read(state).stream_id, sealer.open(state))  # the same plaintext, under another IV
        intruder.connection.execute(
            "UPDATE ledger.stored_events SET state = %(state)s, leaf_hash = sha256('\\x00'::bytea || %(state)s) "
            "WHERE tenant_id = %(log)s AND leaf_index = 6",
            {"state": again, "log": scene.member.log_id},
        )
        _frontier(intruder, _hashes(intruder))
        found = examine(scene)
    origin = scene.stage.log().origin
    for name in ("floors", "published"):
        assert f"{name}: {origin}: the checkpoint, size 15: its root is not that of the entries" in found, found
    assert not any(one.startswith("stored_events") for one in found), "nothing inside contradicts it"


def test_an_older_tree_under_a_relabelled_size_is_named(intruder: Intruder) -> None:
    with intruder.inside("log_heads"):
        intruder.connection.execute(
            "UPDATE ledger.log_heads SET tree_size = 14 WHERE tenant_id = %s", (intruder.scene.member.log_id,)
        )
        found = examine(intruder.scene)
    assert any(re.match(r"(log_heads|stored_events): .*", one) for one in found), found


def _lines(note: bytes) -> list[bytes]:
    return note.splitlines(keepends=True)


def _foreign(scene: Scene, note: bytes) -> bytes:
    stranger = LogSigner.from_seeds(scene.signer.name, b"x" * 32, b"y" * 32)
    return stranger.sign_checkpoint(b"".join(_lines(note)[:3]), AT_S)


CHECKPOINTS: dict[str, tuple[Callable[[Scene, bytes], bytes], str]] = {
    "a flipped bit": (lambda _, note: note[:40] + bytes([note[40] ^ 1]) + note[41:], "published: "),
    "a relabelled size": (lambda _, note: note.replace(b"\n15\n", b"\n14\n"), "published: {origin}: "),
    "a checkpoint of another tenant": (
        lambda scene, _: (
            tiles_of(scene.stage.ledger, scene.stage.log(scene.neighbour)).path / "checkpoint"
        ).read_bytes(),
        "published: {origin}: it is of another log",
    ),
    "an older checkpoint": (lambda scene, _: (scene.sealed / "checkpoint").read_bytes(), ""),
    "a stripped signature": (lambda _, note: b"".join(_lines(note)[:-1]), "published: {origin}: .*stripped"),
    "a foreign signature": (_foreign, "published: {origin}: .*stripped"),
    "the anchor log's signature": (
        lambda scene, note: anchor_signer(scene.stage.ledger).sign_checkpoint(
            b"ledger.example/anchors\n" + b"".join(_lines(note)[1:3]), AT_S
        ),
        "published: {origin}: it is of another log",
    ),
}


@pytest.mark.parametrize("what", CHECKPOINTS)
def test_a_published_checkpoint_that_is_not_the_logs_is_named(intruder: Intruder, what: str) -> None:
    change, words = CHECKPOINTS[what]
    scene = intruder.scene
    with kept_file(tiles_of(scene.stage.ledger, scene.stage.log()).path / "checkpoint") as path:
        path.write_bytes(change(scene, path.read_bytes()))
        found = examine(scene)
    if not words:
        assert found == [], "an older checkpoint of the same history is what a publisher that was killed leaves"
        return
    assert any(re.match(words.format(origin=scene.stage.log().origin), one) for one in found), found


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_every_bit_of_what_is_published_and_of_floors_counts(intruder: Intruder, data: Any) -> None:
    scene = intruder.scene
    files = [
        path
        for folder in ("published", "floors")
        for path in sorted((scene.stage.data / folder).rglob("*"))
        if path.is_file() and path.stat().st_size and path.suffix not in (".lock", ".frozen")
    ]
    path: Path = data.draw(st.sampled_from(files))
    bit = data.draw(st.integers(0, _evidence(path) * 8 - 1))
    with kept_file(path):
        changed_bytes = bytearray(path.read_bytes())
        changed_bytes[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed_bytes)
        if path.parent.name == "payload":  # named for its hash: who reads it sees it
            with pytest.raises(VerificationError, match=f"payload/{path.name}: its hash is not its name"):
                TileDirectory(path.parents[1]).payload(path.name)
            return
        found = examine(scene)
    stale = ".p/" in str(path) and not _wanted(scene, path)
    assert found or stale, path
    assert {one.partition(":")[0] for one in found} <= {"published", "floors", "anchor_rounds"}, found


def _evidence(path: Path) -> int:
    """Return how many bytes fsck answers for: cosignatures are the witnesses' words, which `audit verify` checks."""
    data = path.read_bytes()
    if path.name != "checkpoint":
        return len(data)
    own = "\N{EM DASH} ".encode() + data.partition(b"\n")[0] + b" "
    lines = data.splitlines(keepends=True)
    cosigned = (at for at, line in enumerate(lines) if line.startswith(own[:4]) and not line.startswith(own))
    return sum(map(len, lines[: next(cosigned, len(lines))]))


def _wanted(scene: Scene, path: Path) -> bool:
    """Tell whether the newest checkpoint rests on a partial tile: older ones stay until it is full."""
    root = next(parent for parent in path.parents if (parent / "checkpoint").is_file())
    return int((root / "checkpoint").read_bytes().split(b"\n")[1]) % 256 == int(path.name)


def test_a_false_data_key_is_named(intruder: Intruder) -> None:
    scene = intruder.scene
    keys = scene.stage.data / "keys"
    own, other = (keys / f"{log}.keys" for log in (scene.member.log_id, scene.neighbour.log_id))
    assert own.is_file(), sorted(path.name for path in keys.iterdir())
    with kept_file(own) as path:
        path.write_bytes(other.read_bytes())
        found = examine(scene)
    assert any(one.startswith(f"keyring: {scene.stage.log().origin}: ") for one in found), found
