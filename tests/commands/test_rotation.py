"""Data keys of several generations: nothing is rewritten, everything opens, and every process learns of them."""

from pathlib import Path

import pytest

from domain.errors import RefusedError, UnknownError, VerificationError
from domain.tenants.events import DataKeyRotated
from infrastructure.audit.disclosure import read_keys
from infrastructure.audit.export import export_bundle
from infrastructure.audit.replay import PROJECTIONS, replay_bundle, replay_log
from infrastructure.audit.verify import verify_bundle
from infrastructure.keys.entry import parse_entry
from infrastructure.keys.sealing import MAX_SEALINGS
from infrastructure.projecting.status import read_status
from infrastructure.projector import Projector
from infrastructure.rotation import rotate_data_key, rotate_what_is_due
from tests.commands.cell import Cell, MakeCell, Member, another_process


def generations(cell: Cell, member: Member) -> list[int]:
    return [parse_entry(stored.entry).generation for stored in cell.ledger.recorder.every_entry(member.log_id)]


def test_entries_of_every_generation_open_none_is_rewritten_and_work_goes_on(cell: Cell, tmp_path: Path) -> None:
    member = cell.join()
    before = [stored.entry for stored in cell.ledger.recorder.every_entry(member.log_id)]
    for number in (1, 2):
        assert rotate_data_key(cell.ledger, member.log_id) == number
        (execution,) = cell.place(member)
        cell.run(execution)
    after = [stored.entry for stored in cell.ledger.recorder.every_entry(member.log_id)]
    assert after[: len(before)] == before
    assert generations(cell, member) == sorted(generations(cell, member))
    assert set(generations(cell, member)) == {0, 1, 2}
    assert [event.generation for event in cell.events(member, DataKeyRotated)] == [1, 2]
    assert cell.topics(member)[-1] == "cac.issued.v1"
    with another_process(cell) as ledger:
        assert [r.event for r in ledger.history(member.log_id)] == [r.event for r in cell.history(member)]
    export_bundle(cell.ledger, member.log_id, tmp_path / "b", with_keys="all")
    assert {key.generation for key in read_keys(tmp_path / "b")[1].values()} == {0, 1, 2}
    report = verify_bundle(tmp_path / "b")
    assert report.ok, report.first_error
    assert not [one for one in report.not_checked if "not disclosed" in one]
    assert replay_bundle(tmp_path / "b").digest == replay_log(cell.ledger, member.log_id).digest


def test_platform_and_scope_rotate_too_and_their_logs_verify(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    root = next(log for log in cell.ledger.logs() if log.slot and log.log_id != cell.owner.log_id)
    for number, log in enumerate((cell.ledger.platform(), root)):
        assert rotate_data_key(cell.ledger, log.log_id) == 1
        export_bundle(cell.ledger, log.log_id, tmp_path / str(number), with_keys="all")
        assert verify_bundle(tmp_path / str(number)).ok
    cell.run(*cell.place(cell.join()))


def test_another_process_learns_of_a_generation_before_it_seals_and_when_it_reads(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join()
    with another_process(cell) as elsewhere:
        assert elsewhere.stream(member.log_id, member.log_id)  # holds the keys as they were
        rotate_data_key(elsewhere, member.log_id)
        cell.submit(member)
        assert generations(cell, member)[-1] == 1
        rotate_data_key(cell.ledger, member.log_id)
        assert list(elsewhere.history(member.log_id))[-1].event == DataKeyRotated(generation=2)


def test_an_entry_of_an_unknown_generation_has_the_keys_read_again_once(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys changed between the look at them and the read: the mark is the old one, and the entry tells."""
    cell = make_cell()
    member = cell.join()
    with another_process(cell) as elsewhere:
        elsewhere.stream(member.log_id, member.log_id)
        rotate_data_key(cell.ledger, member.log_id)
        monkeypatch.setattr(elsewhere.sealers, "check", lambda _: None)
        assert list(elsewhere.history(member.log_id))[-1].event == DataKeyRotated(generation=1)


def test_a_generation_that_the_keyring_never_had_is_an_error_that_stops(make_cell: MakeCell) -> None:
    """A keyring restored from a copy that is too old."""
    cell = make_cell()
    member = cell.join()
    path = cell.folder / "data/keys" / f"{member.log_id}.keys"
    older = path.read_bytes()
    rotate_data_key(cell.ledger, member.log_id)
    path.write_bytes(older)
    with another_process(cell) as elsewhere, pytest.raises(VerificationError, match="generation 1"):
        list(elsewhere.history(member.log_id))


def test_missing_keys_without_an_erasure_stop_the_logs_readers_and_nobody_elses(make_cell: MakeCell) -> None:
    cell = make_cell()
    member, other = cell.join(), cell.join("OtherDAO")
    (cell.folder / "data/keys" / f"{member.log_id}.keys").unlink()
    with another_process(cell) as elsewhere:
        with pytest.raises(UnknownError, match="restore"):
            list(elsewhere.history(member.log_id))
        Projector(elsewhere).catch_up()
        states = {log_id: read_status(elsewhere, PROJECTIONS, log_id).logs for log_id in (member.log_id, other.log_id)}
        assert {(one.state, one.error, one.position) for one in states[member.log_id]} == {
            ("stopped", "UnknownError", 0)
        }
        assert {one.state for one in states[other.log_id]} == {"live"}
    with pytest.raises(UnknownError):  # keys that are held already are let go as well
        cell.history(member)


def test_a_rotation_that_died_before_its_event_is_made_good_without_a_further_generation(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join()
    cell.ledger.keyring.rotate_data_key(member.log_id)
    assert rotate_data_key(cell.ledger, member.log_id) == 1
    assert [event.generation for event in cell.events(member, DataKeyRotated)] == [1]
    assert rotate_data_key(cell.ledger, member.log_id) == 2


def test_sealings_are_counted_from_the_rotation_on_and_rotation_comes_by_itself(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join()
    size = len(cell.history(member))
    with another_process(cell) as elsewhere:
        sealer = elsewhere.sealers.readable(member.log_id)
        assert sealer.sealed == size
        assert rotate_what_is_due(elsewhere, due=10**6) == ()
        assert member.log_id in rotate_what_is_due(elsewhere, due=size)
        assert elsewhere.sealers.readable(member.log_id).sealed == 1
    cell.submit(member)
    with another_process(cell) as elsewhere:
        since = len(cell.history(member)) - size
        assert elsewhere.sealers.readable(member.log_id).sealed == since


def test_a_key_that_has_sealed_its_most_refuses_and_rotation_lets_work_go_on(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join()
    sealer = cell.ledger.sealers.readable(member.log_id)
    sealer._newest._counter = iter([MAX_SEALINGS] * 100)  # type: ignore[assignment]
    with pytest.raises(RefusedError, match="key rotate"), cell.nothing_written():
        cell.submit(member)
    rotate_data_key(cell.ledger, member.log_id)
    cell.submit(member)
    assert generations(cell, member)[-1] == 1
