"""Read models change together with their position, exactly once."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from domain.errors import ConflictError, MalformedError
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.views import Views


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


def test_projections_and_logs_do_not_meet_and_a_reset_touches_one_only(datastore: LedgerDatastore) -> None:
    views, one, two = Views(datastore), uuid4(), uuid4()
    for projection, log_id in (("usage_v1", one), ("usage_v1", two), ("disputes_v1", one)):
        views.apply(projection, log_id, 0, {"k": projection.encode()}, to_position=1)
    views.reset("usage_v1", one)
    assert (views.rows("usage_v1", one), views.position("usage_v1", one)) == ({}, 0)
    assert views.rows("usage_v1", two) == {"k": b"usage_v1"}
    assert views.rows("disputes_v1", one) == {"k": b"disputes_v1"}
    views.apply("usage_v1", one, 0, {"k": b"again"}, to_position=1)
