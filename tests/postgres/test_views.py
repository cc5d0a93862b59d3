"""Read models change together with their position, exactly once."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest

from domain.errors import ConflictError, MalformedError
from infrastructure.postgres import views as views_module
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.views import Fault, Standing, Views
from tests.database import as_role
from tests.postgres.sample import event, make_logs


def test_rows_and_position_move_together(datastore: LedgerDatastore) -> None:
    views, log_id = Views(datastore), uuid4()
    views.apply("usage_v1", log_id, 0, {"b": b"1", "a": b"\x00\xff"}, to_position=4)
    views.apply("usage_v1", log_id, 4, {"b": b"2", "a": None, "never": None}, to_position=5)
    assert views.rows("usage_v1", log_id) == {"b": b"2"}
    assert views.row("usage_v1", log_id, "b") == b"2"
    assert views.row("usage_v1", log_id, "a") is None
    assert views.position("usage_v1", log_id) == 5


@pytest.mark.parametrize("come_from", [0, 3, 9])
def test_a_change_from_another_position_is_refused_whole(datastore: LedgerDatastore, come_from: int) -> None:
    views, log_id = Views(datastore), uuid4()
    views.apply("usage_v1", log_id, 0, {"a": b"1"}, to_position=5)
    with pytest.raises(ConflictError):
        views.apply("usage_v1", log_id, come_from, {"a": b"2"}, to_position=10)
    assert views.rows("usage_v1", log_id) == {"a": b"1"}
    assert views.position("usage_v1", log_id) == 5


def test_a_read_model_only_moves_forward(datastore: LedgerDatastore) -> None:
    with pytest.raises(MalformedError):
        Views(datastore).apply("usage_v1", uuid4(), 5, {}, to_position=5)


def test_of_racing_runners_each_change_is_made_by_one(datastore: LedgerDatastore) -> None:
    views, log_id = Views(datastore), uuid4()

    def run(step: int) -> bool:
        try:
            views.apply("usage_v1", log_id, step, {str(step): b""}, to_position=step + 1)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        for step in range(10):
            assert sum(pool.map(run, [step] * 4)) == 1
    assert views.position("usage_v1", log_id) == len(views.rows("usage_v1", log_id)) == 10


def test_projections_and_logs_do_not_meet_and_one_log_is_dropped_alone(datastore: LedgerDatastore) -> None:
    views, one, two = Views(datastore), uuid4(), uuid4()
    for projection, log_id in (("usage_v1", one), ("usage_v1", two), ("disputes_v1", one)):
        views.apply(projection, log_id, 0, {"k": projection.encode()}, to_position=1)
    assert views.rows("disputes_v1", one) == {"k": b"disputes_v1"}
    views.drop(one)
    for projection in ("usage_v1", "disputes_v1"):
        assert (views.rows(projection, one), views.position(projection, one)) == ({}, 0)
    assert views.rows("usage_v1", two) == {"k": b"usage_v1"}


def test_an_edition_is_built_beside_the_live_one_and_goes_live_when_it_has_come_as_far(
    datastore: LedgerDatastore,
) -> None:
    views, log_id = Views(datastore), uuid4()
    views.apply("usage_v1", log_id, 0, {"old": b"1"}, to_position=5)
    built = views.begin_build("usage_v2", log_id)
    assert built == "usage_v2.1"
    views.apply(built, log_id, 0, {"new": b"2"}, to_position=4)
    assert not views.switch(built, log_id)
    assert views.rows("usage_v2", log_id) == views.rows("usage_v1", log_id) == {"old": b"1"}
    views.apply("usage_v1", log_id, 5, {"old": b"3"}, to_position=6)  # the live one goes on
    views.apply(built, log_id, 4, {}, to_position=6)
    assert views.switch(built, log_id)
    assert views.rows("usage_v2", log_id) == {"new": b"2"}
    assert views.position("usage_v2", log_id) == 6
    with pytest.raises(ConflictError):
        views.switch(built, log_id)
    for late, position in (("usage_v1", 6), ("usage_v1", 0)):  # who still keeps the old one
        with pytest.raises(ConflictError):
            views.apply(late, log_id, position, {"late": b""}, to_position=7)
    views.sweep("usage_v2", log_id)
    assert views.row_of("usage_v1", log_id, "old") is None
    assert views.row_of(built, log_id, "new") == b"2"


def test_a_build_that_is_begun_again_has_a_name_of_its_own_and_the_first_is_swept(
    datastore: LedgerDatastore, conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views_module, "_SWEPT", 2)
    views, log_id = Views(datastore), uuid4()
    with pytest.raises(ConflictError):
        views.begin_build("usage_v1", log_id)
    views.apply("usage_v1", log_id, 0, {"a": b"1"}, to_position=1)
    first, rows = views.begin_build("usage_v1", log_id), {str(number): b"" for number in range(5)}
    views.apply(first, log_id, 0, rows, to_position=1)
    second = views.begin_build("usage_v1", log_id)
    assert (first, second) == ("usage_v1.1", "usage_v1.2")
    with pytest.raises(ConflictError):
        views.apply(first, log_id, 1, {}, to_position=2)
    for left in (3, 1, 0):
        views.sweep("usage_v1", log_id)
        assert sum(views.row_of(first, log_id, key) is not None for key in rows) == left
    with psycopg.connect(as_role(conninfo)) as admin:
        assert admin.execute("SELECT retired FROM ledger.view_editions").fetchall() == [([],)]
        assert admin.execute("SELECT projection FROM ledger.view_positions").fetchall() == [("usage_v1",)]


@pytest.mark.parametrize("name", ["usage", "usage_v0", "_v1", "Usage_v1", "usage_v1.0", "usage_v1.", "usage_v1.1.1"])
def test_a_name_without_a_version_is_refused(datastore: LedgerDatastore, name: str) -> None:
    with pytest.raises(MalformedError):
        Views(datastore).rows(name, uuid4())


def test_where_an_edition_stands_still_is_noted_until_it_moves(recorder: LedgerRecorder) -> None:
    views, (log_id,) = Views(recorder.datastore), make_logs(recorder, 1)
    recorder.append([event(log_id) for _ in range(5)])
    assert views.standings("usage_v1") == [Standing(log_id, 5, None, 0, None, 0, retired=False, fault=None)]
    views.stop("usage_v1", log_id, 0, "KeyError")
    (standing,) = views.standings("usage_v1", log_id)
    assert standing.fault is not None
    assert (standing.fault.leaf_index, standing.fault.error) == (0, "KeyError")
    views.stop("usage_v1", log_id, 0, "ValueError")
    (again,) = views.standings("usage_v1", log_id)
    assert again.fault == Fault(0, "ValueError", standing.fault.since_ms)
    views.apply("usage_v1", log_id, 0, {}, to_position=2)
    assert views.standings("usage_v1") == [Standing(log_id, 5, "usage_v1", 2, None, 0, retired=False, fault=None)]
