"""Positions are 64 bits wide wherever they are added up: no query overflows at the bound of a narrower integer.

[The driver sends an integer in the narrowest type that holds it, and PostgreSQL adds two of 16 bits in 16.]
"""

from uuid import UUID

import pytest

from infrastructure.anchors.rounds import Rounds
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.recorder import LedgerRecorder
from tests.postgres.sample import event, make_logs

AROUND = [bound - before for bound in (2**15, 2**31, 2**32, 2**62) for before in (500, 1, 0)]


@pytest.fixture
def log_id(recorder: LedgerRecorder) -> UUID:
    (made,) = make_logs(recorder, 1)
    recorder.append([event(made)])
    return made


@pytest.mark.parametrize("first", AROUND)
def test_every_page_can_be_read_at_any_position(
    recorder: LedgerRecorder, datastore: LedgerDatastore, log_id: UUID, first: int
) -> None:
    feed = Feed(datastore)
    for limit in (500, 30_000):
        assert feed.page(first, limit) == []
        assert feed.log_page(log_id, first, limit) == []
        assert feed.read_feed(first, limit) == []
        assert list(recorder.entries(log_id, first, limit)) == []
        assert list(recorder.leaf_hashes(log_id, first, limit)) == []
        assert recorder.select_notifications(first, limit) == []
        assert list(Rounds(datastore).read(first, first + limit)) == []
