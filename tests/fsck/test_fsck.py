"""`audit fsck`: a healthy cell is found healthy; whatever is damaged is named, with table, log and entry."""

import re
from pathlib import Path

import pytest

from domain.errors import UnavailableError
from infrastructure.fsck.check import check_database
from infrastructure.fsck.report import Difference, Report
from tests.fsck.conftest import Damaged


def found(report: Report, table: str, says: str, *, log: str | None = None, entry: int | None = None) -> Difference:
    """Return the difference that a table must show."""
    assert not report.ok
    for one in report.differences:
        if one.table == table and re.search(says, one.what) and (log is None or one.log == log):
            assert entry is None or one.entry == entry, one
            return one
    raise AssertionError([str(one) for one in report.differences])


def test_a_healthy_cell_is_found_healthy_and_says_what_was_not_looked_at(healthy: Damaged) -> None:
    sizes = healthy.cell.sizes()
    told: list[int] = []
    report = check_database(healthy.cell.ledger, progress=told.append)
    assert [str(one) for one in report.differences] == []
    assert report.ok
    assert sum(report.sizes.values()) == sum(sizes.values()) == told[-1]
    checked = report.checked
    assert checked["entries hashed again"] == checked["entries opened, each what its columns say"] == told[-1]
    for what in ("roots that others state", "payloads hashed again", "answers of commands opened", "rows of the feed"):
        assert checked[what] > 0, what
    assert checked["payloads that entries name"] >= 4
    assert checked["rounds of the anchor log"] == checked["rounds made again from what their slots commit to"] == 2
    assert any(what.startswith("CACs: every member") for what in checked)
    assert any("signature, enrolled key, audience" in what for what in checked)
    assert any("pg_amcheck" in words for words in report.not_checked)
    assert healthy.cell.sizes() == sizes


def test_one_log_alone_says_that_the_rest_was_left_out(healthy: Damaged) -> None:
    report = healthy.check(healthy.member)
    assert report.ok
    assert list(report.sizes) == [healthy.origin]
    assert any("only one log was asked for" in words for words in report.not_checked)


ROWS: dict[str, tuple[str, str, str, str, int | None]] = {
    "a flipped bit": (
        "stored_events",
        ("UPDATE ledger.stored_events SET state = set_byte(state, 150, get_byte(state, 150) # 1) "
        "WHERE tenant_id = %(log)s AND leaf_index = 20"),
        "stored_events", "leaf hash is not that of its bytes", 20,
    ),
    "a flipped bit under its own hash": (
        "stored_events",
        ("UPDATE ledger.stored_events SET state = set_byte(state, 150, get_byte(state, 150) # 1), leaf_hash = "
        "sha256('\\x00'::bytea || set_byte(state, 150, get_byte(state, 150) # 1)) "
        "WHERE tenant_id = %(log)s AND leaf_index = 20"),
        "stored_events", "changed|key", 20,
    ),
    "its head's root, after that": (
        "stored_events",
        ("UPDATE ledger.stored_events SET state = set_byte(state, 150, get_byte(state, 150) # 1), leaf_hash = "
        "sha256('\\x00'::bytea || set_byte(state, 150, get_byte(state, 150) # 1)) "
        "WHERE tenant_id = %(log)s AND leaf_index = 20"),
        "log_heads", "the head, size [0-9]+: its root is not that of the entries", None,
    ),
    "a leaf hash": (
        "stored_events",
        "UPDATE ledger.stored_events SET leaf_hash = sha256('x') WHERE tenant_id = %(log)s AND leaf_index = 3",
        "stored_events", "leaf hash", 3,
    ),
    "a deleted entry": (
        "stored_events", "DELETE FROM ledger.stored_events WHERE tenant_id = %(log)s AND leaf_index = 7",
        "stored_events", "^missing$", 7,
    ),
    "truncated entries": (
        "stored_events", "DELETE FROM ledger.stored_events WHERE tenant_id = %(log)s AND leaf_index >= 30",
        "stored_events", "missing, and so are all to", 30,
    ),
    "an inserted entry": (
        "stored_events",
        ("INSERT INTO ledger.stored_events SELECT tenant_id, gen_random_uuid(), 0, topic, state, 100000, leaf_hash "
        "FROM ledger.stored_events WHERE tenant_id = %(log)s AND leaf_index = 3"),
        "stored_events", "beyond the head's size", 100_000,
    ),
    "an entry in another stream": (
        "stored_events",
        "UPDATE ledger.stored_events SET stream_id = gen_random_uuid() WHERE tenant_id = %(log)s AND leaf_index = 12",
        "stored_events", "another stream than its column names", 12,
    ),
    "another version": (
        "stored_events",
        "UPDATE ledger.stored_events SET version = version + 1000 WHERE tenant_id = %(log)s AND leaf_index = 12",
        "stored_events", "columns are not what the sealed entry says", 12,
    ),
    "a version that is not dense": (
        "stored_events",
        "UPDATE ledger.stored_events SET version = version + 1000 WHERE tenant_id = %(log)s AND leaf_index = 12",
        "stored_events", "version 10[0-9]{2} of stream", 12,
    ),
    "an unknown topic": (
        "stored_events",
        "UPDATE ledger.stored_events SET topic = 'os:system' WHERE tenant_id = %(log)s AND leaf_index = 5",
        "stored_events", "columns are not what", 5,
    ),
    "an enormous topic": (
        "stored_events",
        "UPDATE ledger.stored_events SET topic = repeat('x', 1000000) WHERE tenant_id = %(log)s AND leaf_index = 5",
        "stored_events", "columns are not what", 5,
    ),
    "an enormous entry": (
        "stored_events",
        ("UPDATE ledger.stored_events SET state = decode(repeat('00', 70000), 'hex') "
        "WHERE tenant_id = %(log)s AND leaf_index = 5"),
        "stored_events", "70000 bytes, more than an entry has", 5,
    ),
    "no entry at all": (
        "stored_events", "UPDATE ledger.stored_events SET state = '' WHERE tenant_id = %(log)s AND leaf_index = 5",
        "stored_events", "", 5,
    ),
    "two entries that changed places": (
        "stored_events",
        ("UPDATE ledger.stored_events AS e SET state = o.state, leaf_hash = o.leaf_hash FROM ledger.stored_events AS o "
        "WHERE e.tenant_id = %(log)s AND o.tenant_id = %(log)s "
        "AND (e.leaf_index, o.leaf_index) IN ((40, 41), (41, 40))"),
        "stored_events", "columns are not what the sealed entry says", 40,
    ),
    "a log that is closed though nobody ordered its erasure": (
        "log_heads", "UPDATE ledger.log_heads SET closed = true WHERE tenant_id = %(log)s",
        "log_heads", "closed, and no erasure is ordered", None,
    ),
    "a head that is too long": (
        "log_heads", "UPDATE ledger.log_heads SET tree_size = tree_size + 2 WHERE tenant_id = %(log)s",
        "stored_events", "missing, and so are all to", None,
    ),
    "a head of no form": (
        "log_heads", "UPDATE ledger.log_heads SET frontier = repeat('x', 320)::bytea WHERE tenant_id = %(log)s",
        "log_heads", "", None,
    ),
    "no head": (
        "log_heads", "DELETE FROM ledger.log_heads WHERE tenant_id = %(log)s", "log_heads", "has no head", None,
    ),
    "a feed row that is gone": (
        "feed", "DELETE FROM ledger.feed WHERE log_id = %(log)s AND first_index = 0", "feed", "are missing", None,
    ),
    "a feed row that counts too far": (
        "feed", "UPDATE ledger.feed SET count = count + 1 WHERE log_id = %(log)s AND first_index = 0",
        "feed", "begins with notification", None,
    ),
    "a counter behind the feed": (
        "feed_counter", "UPDATE ledger.feed_counter SET last_position = last_position - 1",
        "feed", "was never given out", None,
    ),
    "a counter ahead of the feed": (
        "feed_counter", "UPDATE ledger.feed_counter SET last_notification_id = last_notification_id + 1",
        "feed", "the counter has given out", None,
    ),
    "a payload": (
        "payloads", "UPDATE ledger.payloads SET sealed = sealed || '\\x00'::bytea WHERE tenant_id = %(log)s",
        "payloads", "is not the digest of its bytes", None,
    ),
    "payloads that are gone": (
        "payloads", "DELETE FROM ledger.payloads WHERE tenant_id = %(log)s",
        "payloads", "which the entry names, is missing", None,
    ),
    "an answer": (
        "commands", "UPDATE ledger.commands SET answer = answer || '\\x00'::bytea WHERE tenant_id = %(log)s",
        "commands", "was changed", None,
    ),
    "an answer of another command": (
        "commands", "UPDATE ledger.commands SET issuer = issuer || 'x' WHERE tenant_id = %(log)s",
        "commands", "belongs to another place", None,
    ),
    "a read model ahead of its log": (
        "view_positions", "UPDATE ledger.view_positions SET position = 1000000 WHERE tenant_id = %(log)s",
        "view_positions", "claims 1000000 entries", None,
    ),
    "a note about keys": (
        "key_notes", "UPDATE ledger.key_notes SET from_size = from_size + 1 WHERE log_id = %(log)s AND generation = 1",
        "key_notes", "of another place", None,
    ),
    "no notes about keys": (
        "key_notes", "DELETE FROM ledger.key_notes WHERE log_id = %(log)s", "key_notes", "not those", None,
    ),
    "a floor that was found": (
        "publications", "UPDATE ledger.publications SET root = sha256('x') WHERE log_id = %(log)s",
        "publications", "its root is not that of the entries", None,
    ),
    "what a round commits to": (
        "anchored_checkpoints",
        "UPDATE ledger.anchored_checkpoints SET text = 'nonsense' WHERE slot = %(slot)s",
        "anchored_checkpoints", "", None,
    ),
    "a round's slots": (
        "anchored_checkpoints", "DELETE FROM ledger.anchored_checkpoints WHERE slot = %(slot)s AND round = 1",
        "anchored_checkpoints", "don't give its entry", None,
    ),
    "a round": (
        "anchor_rounds", "UPDATE ledger.anchor_rounds SET entry = entry || 'x'::bytea WHERE round = 0",
        "anchor_rounds", "", 0,
    ),
    "the last round": (
        "anchor_rounds", "DELETE FROM ledger.anchor_rounds WHERE round = 1",
        "published", "not that of the rounds", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS)
def test_damage_in_the_database_is_named(healthy: Damaged, case: str) -> None:
    table, statement, named, says, entry = ROWS[case]
    slot = healthy.stage.log().slot
    with healthy.changed(table, statement, slot=slot):
        report = healthy.check()
    one = found(report, named, says, entry=entry)
    assert one.log in (healthy.origin, None) or named in {"anchor_rounds", "published", "anchored_checkpoints"}
    assert report.to_json()["first_error"] is not None
    others = {one.log for one in report.differences if one.table == "stored_events"}
    assert others <= {healthy.origin}  # nobody else's log is blamed


FILES: dict[str, tuple[str, bytes | None, str, str]] = {
    "a published tile": ("published/t/{slot}/tile/0/000.p/{width}", b"x", "published", "bytes where"),
    "a published entry bundle": ("published/t/{slot}/tile/entries/000.p/{width}", None, "published", "missing"),
    "a published checkpoint": ("published/t/{slot}/checkpoint", b"x", "published", "checkpoint"),
    "a floor": ("floors/{slot}", None, "floors", "does not cover the published checkpoint"),
    "a damaged floor": ("floors/{slot}", b"x", "floors", "damaged"),
    "the anchor log's checkpoint": ("published/anchors/checkpoint", b"x", "published", "checkpoint"),
    "the anchor log's floor": ("floors/anchors", b"ledger.example/anchors\n1\n" + b"A" * 43 + b"=\n", "floors", "root"),
    "the anchor log's tile": ("published/anchors/tile/0/000.p/2", b"x" * 64, "published", "leaf hash"),
}


@pytest.mark.parametrize("case", FILES)
def test_damage_in_the_data_directory_is_named(healthy: Damaged, case: str) -> None:
    path, data, table, says = FILES[case]
    width = healthy.stage.ledger.head(healthy.member.log_id).size - 1  # it has grown by one since it was published
    with healthy.file(path.format(slot=healthy.stage.log().slot, width=width)) as file:
        file.unlink()
        if data is not None:
            file.touch(0o600)
            file.write_bytes(data)
        found(healthy.check(), table, says)
    assert healthy.check().ok


def test_a_published_log_that_the_database_lacks_is_named(healthy: Damaged) -> None:
    floor: Path = healthy.stage.data / "floors" / "12345"
    floor.touch(0o600)
    floor.write_bytes(b"ledger.example/t/12345\n1\n" + b"A" * 43 + b"=\n")
    try:
        found(healthy.check(), "floors", "the database does not have its log")
    finally:
        floor.unlink()


def test_a_database_that_does_not_answer_is_no_damage(healthy: Damaged, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise UnavailableError("gone")

    monkeypatch.setattr("infrastructure.fsck.check.check_payloads", gone)
    with pytest.raises(UnavailableError):
        healthy.check()
