"""The append: everything together, or nothing."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import ConflictError, MalformedError, UnknownError
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.postgres.batch import prepare
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import CommandKnownError, FencedError, Log, LoggedEvent, Payload
from tests.postgres.sample import assert_whole, command, event, make_logs, stream


def test_what_was_appended_reads_back_byte_for_byte_with_its_place(recorder: LedgerRecorder) -> None:
    (log_id,) = make_logs(recorder, 1)
    events = stream(log_id, 3)
    places = recorder.append(events)
    entries = recorder.entries(log_id)
    assert [one.entry for one in entries] == [one.state for one in events]
    assert [(one.stream_id, one.version) for one in entries] == [
        (one.originator_id, one.originator_version) for one in events
    ]
    assert [(one.leaf_index, one.leaf_hash, one.notification_id) for one in entries] == [
        (one.leaf_index, one.leaf_hash, one.notification_id) for one in places
    ]
    assert [one.leaf_index for one in places] == [0, 1, 2]
    assert {one.tree_size for one in places} == {3}
    assert [one.leaf_hash for one in places] == [leaf_hash(one.state) for one in events]


def test_a_batch_over_several_logs_is_answered_in_the_order_it_was_given(recorder: LedgerRecorder) -> None:
    low, high = make_logs(recorder, 2)
    recorder.append([event(high)])
    places = recorder.append([event(high), event(low), event(high), event(low)])
    assert [(one.log_id, one.leaf_index, one.tree_size, one.notification_id) for one in places] == [
        (high, 1, 3, 4), (low, 0, 2, 2), (high, 2, 3, 5), (low, 1, 2, 3),
    ]  # fmt: skip
    assert [one.id for one in recorder.select_notifications(None, 10)] == [1, 2, 3, 4, 5]
    assert [(row.log_id, row.first_index, row.count) for row in Feed(recorder.datastore).read_feed()] == [
        (high, 0, 1), (low, 0, 2), (high, 1, 2),
    ]  # fmt: skip


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 2), max_size=7), max_size=6))
def test_heads_are_the_trees_of_the_stored_entries_whatever_the_batches(
    recorder: LedgerRecorder, batches: list[list[int]]
) -> None:
    log_ids = [log.log_id for log in recorder.logs()] or make_logs(recorder, 3)
    before = recorder.max_notification_id() or 0
    for batch in batches:
        recorder.append([event(log_ids[number]) for number in batch])
    assert_whole(recorder, log_ids)
    assert recorder.max_notification_id() or before + sum(map(len, batches)) == 0


def test_a_taken_version_is_the_librarys_integrity_error_and_leaves_nothing(recorder: LedgerRecorder) -> None:
    one, two = make_logs(recorder, 2)
    taken = event(one)
    recorder.append([taken])
    with pytest.raises(IntegrityError) as caught:
        recorder.append([event(two), event(one, taken.originator_id, 0)], commands=[command(two)])  # type: ignore[arg-type]
    assert str(taken.originator_id) not in str(caught.value)  # the database's detail names rows
    assert "tenant_id" not in str(caught.value)
    assert (recorder.head(one).size, recorder.head(two).size) == (1, 0)
    assert recorder.find_command(two, "issuer", "c1") is None
    assert recorder.append([event(two)])[0].notification_id == 2  # no number was lost
    assert [row.position for row in Feed(recorder.datastore).read_feed()] == [1, 2]


def test_one_stream_id_may_live_in_two_logs_but_must_be_read_with_the_log(recorder: LedgerRecorder) -> None:
    one, two = make_logs(recorder, 2)
    shared = uuid4()
    recorder.append([event(one, shared, 0, b"1"), event(two, shared, 0, b"2")])
    with pytest.raises(ConflictError):
        recorder.select_events(shared)
    assert [found.state for found in recorder.select_events(shared, log_id=two)] == [b"2"]


def test_a_known_command_writes_nothing_and_gives_the_first_answer(recorder: LedgerRecorder) -> None:
    (log_id,) = make_logs(recorder, 1)
    first = command(log_id, answer=b"first")
    recorder.append([event(log_id)], commands=[first])
    with pytest.raises(CommandKnownError) as caught:
        recorder.append([event(log_id)], commands=[command(log_id, "c2"), command(log_id, "c1", b"d", b"second")])
    assert caught.value.known == (first,)
    assert recorder.head(log_id).size == 1
    assert recorder.find_command(log_id, "issuer", "c2") is None
    assert recorder.find_command(log_id, "issuer", "c1") == first


def test_the_same_command_id_is_free_in_another_log_and_for_another_issuer(recorder: LedgerRecorder) -> None:
    one, two = make_logs(recorder, 2)
    recorder.append([event(one)], commands=[command(one)])
    recorder.append([event(two)], commands=[command(two)])
    assert recorder.find_command(two, "somebody else", "c1") is None


def test_a_command_without_events_is_kept_and_moves_no_head(recorder: LedgerRecorder) -> None:
    (log_id,) = make_logs(recorder, 1)
    assert recorder.append([], commands=[command(log_id)]) == []
    assert recorder.find_command(log_id, "issuer", "c1") == command(log_id)
    assert recorder.max_notification_id() is None


def test_one_command_twice_in_a_batch_is_refused_before_any_lock(recorder: LedgerRecorder) -> None:
    (log_id,) = make_logs(recorder, 1)
    with pytest.raises(ConflictError):
        recorder.append([], commands=[command(log_id), command(log_id)])


def test_a_payload_is_found_under_its_digest_in_its_log_only(recorder: LedgerRecorder) -> None:
    one, two = make_logs(recorder, 2)
    payload = Payload(one, hashlib.sha256(b"sealed").digest(), b"sealed")
    recorder.append([event(one)], payloads=[payload])
    recorder.append([event(one)], payloads=[payload])
    assert recorder.find_payload(one, payload.digest) == b"sealed"
    assert recorder.find_payload(two, payload.digest) is None
    with pytest.raises(MalformedError):
        Payload(one, payload.digest, b"other")


def test_an_unknown_log_refuses_the_whole_batch(recorder: LedgerRecorder) -> None:
    (log_id,) = make_logs(recorder, 1)
    with pytest.raises(UnknownError):
        recorder.append([event(log_id), event(uuid4())])
    with pytest.raises(UnknownError):
        recorder.append([StoredEvent(uuid4(), 0, "t", b"s")])  # the default log was not made
    assert recorder.head(log_id) == Frontier.empty()


def test_an_older_decider_writes_nothing_once_a_newer_one_has_its_number(recorder: LedgerRecorder) -> None:
    (log_id,) = make_logs(recorder, 1)
    older, newer = recorder.take_epoch(), recorder.take_epoch()
    recorder.append([event(log_id)], epoch=newer)
    with pytest.raises(FencedError):
        recorder.append([event(log_id)], commands=[command(log_id)], epoch=older)
    assert recorder.head(log_id).size == 1
    assert recorder.find_command(log_id, "issuer", "c1") is None


def test_a_log_is_made_once_and_its_slot_and_origin_are_its_own(recorder: LedgerRecorder) -> None:
    log_id = uuid4()
    assert recorder.create_log(log_id, 7, "ledger.example/t/7") == Log(log_id, 7, "ledger.example/t/7")
    recorder.create_log(log_id, 7, "ledger.example/t/7")
    for other in ((uuid4(), 7, "o"), (uuid4(), 8, "ledger.example/t/7"), (log_id, 8, "ledger.example/t/8")):
        with pytest.raises(ConflictError):
            recorder.create_log(*other)
    assert recorder.logs() == [Log(log_id, 7, "ledger.example/t/7")]


def test_pages_of_entries_join_without_overlap(recorder: LedgerRecorder) -> None:
    one, two = make_logs(recorder, 2)
    for size in (1, 4, 2, 6):
        recorder.append([event(log_id) for log_id in (one, two) for _ in range(size)])
    whole = recorder.entries(one, 0, 100)
    assert len(whole) == 13
    for first in range(14):
        for limit in (1, 3, 20):
            assert recorder.entries(one, first, limit) == whole[first : first + limit]
    assert recorder.leaf_hashes(one, 3, 5) == [found.leaf_hash for found in whole[3:8]]


def test_streams_are_listed_with_their_last_versions(recorder: LedgerRecorder) -> None:
    (log_id,) = make_logs(recorder, 1)
    events = stream(log_id, 3)
    recorder.append(events)
    (found,) = recorder.streams(log_id)
    assert (found.stream_id, found.last_version) == (events[0].originator_id, 2)


def test_writers_of_one_log_and_of_many_keep_all_logs_whole(datastore: LedgerDatastore) -> None:
    recorder = LedgerRecorder(datastore)
    log_ids = make_logs(recorder, 4)
    start = threading.Barrier(8)

    def write(number: int) -> int:
        start.wait()
        mine = [log_ids[0], log_ids[number % 4], log_ids[3 - number % 4]]  # in different orders: no deadlock
        for _ in range(15):
            recorder.append([event(log_id) for log_id in mine])
        return 15 * len(mine)

    with ThreadPoolExecutor(8) as pool:
        written = sum(pool.map(write, range(8)))
    assert_whole(recorder, log_ids)
    assert sum(recorder.head(log_id).size for log_id in log_ids) == written == recorder.max_notification_id()
    numbers = [found.id for found in recorder.select_notifications(None, 10_000)]
    assert numbers == list(range(1, written + 1))


def test_of_racing_writers_of_one_version_exactly_one_wins(datastore: LedgerDatastore) -> None:
    recorder = LedgerRecorder(datastore)
    (log_id,) = make_logs(recorder, 1)
    stream_id = uuid4()

    def write(version: int) -> bool:
        try:
            recorder.append([event(log_id, stream_id, version)])
        except IntegrityError:
            return False
        return True

    for version in range(5):
        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(write, [version] * 6)) == 1
    assert_whole(recorder, [log_id])
    assert recorder.head(log_id).size == 5


def test_a_batch_is_prepared_in_order_of_log_ids() -> None:
    high, low = uuid4(), uuid4()
    high, low = max(high, low), min(high, low)
    batch = prepare([event(high), event(low), event(high)], [command(uuid4())], [])
    assert [(part.log_id, part.places) for part in batch.parts] == [(low, (1,)), (high, (0, 2))]
    assert batch.log_ids == sorted(batch.log_ids)
    assert len(batch.log_ids) == 2  # a command of another log locks no head: its key decides


def test_sealed_bytes_are_not_in_the_repr_of_commands_and_payloads() -> None:
    log_id = uuid4()
    assert "secret" not in repr(command(log_id, answer=b"secret"))
    assert "secret" not in repr(Payload(log_id, hashlib.sha256(b"secret").digest(), b"secret"))
    assert LoggedEvent(log_id, 0, "t", b"s", log_id) == LoggedEvent(log_id, 0, "t", b"s", log_id)
