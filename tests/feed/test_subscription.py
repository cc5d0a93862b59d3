"""A subscriber gets each item once, in order, from wherever it begins, whatever happens meanwhile."""

import itertools
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import MalformedError, UnavailableError, VerificationError
from domain.message import Pending, Recorded
from domain.platform.events import Ticked
from infrastructure.feed.source import tenant_entries
from infrastructure.feed.subscription import Subscription
from infrastructure.feed.subscriptions import Subscriptions
from infrastructure.keys.keyring import LogKind
from infrastructure.ledger import Ledger
from infrastructure.postgres import recorder as recorder_module
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.feed import PAGE, PAGE_BYTES, Feed
from infrastructure.postgres.records import StoredEntry
from tests.database import TestServer, as_role
from tests.postgres.sample import event, make_logs

T = TypeVar("T")

WRITERS = 4
COMMITS = 10


def taken(items: Iterable[T], count: int) -> list[T]:
    """Return the next so many items."""
    return list(itertools.islice(items, count))


def leaves(entries: Iterable[StoredEntry | Recorded]) -> list[int]:
    """Return leaf indices."""
    return [one.leaf_index for one in entries]


def add(ledger: Ledger, log_id: UUID, count: int, size: int = 40) -> None:
    """Append so many entries, in one commit."""
    ledger.recorder.append([event(log_id, state=bytes(size)) for _ in range(count)])


def test_a_log_is_read_from_any_leaf_on_then_live(ledger: Ledger, feeds: Subscriptions) -> None:
    own, other = make_logs(ledger.recorder, 2)
    add(ledger, own, 3)
    for after in (None, -1, 0, 2):
        with feeds.subscribe(feeds.sources.entries(own), after=after) as subscription:
            first = 0 if after is None else after + 1
            assert leaves(taken(subscription, 3 - first)) == list(range(first, 3))
            assert subscription.position == 2
            size = ledger.head(own).size
            add(ledger, other, 1)
            add(ledger, own, 2)
            assert leaves(taken(subscription, size - 1)) == list(range(3, size + 2))
    assert {one.log_id for one in taken(feeds.subscribe(feeds.sources.entries(own)), 11)} == {own}


def test_all_logs_are_read_in_the_order_of_their_commits_from_any_event_on(
    ledger: Ledger, feeds: Subscriptions
) -> None:
    low, high = make_logs(ledger.recorder, 2)
    for log_id, count in ((high, 2), (low, 3), (high, 1)):
        add(ledger, log_id, count)
    whole = [(high, 0), (high, 1), (low, 0), (low, 1), (low, 2), (high, 2)]
    for after in range(7):
        found = list(feeds.subscribe(feeds.sources.all_entries(), after=after, follow=False))
        assert [(one.log_id, one.leaf_index) for one in found] == whole[after:]
        assert [one.notification_id for one in found] == list(range(after + 1, 7))


def test_without_following_it_ends_where_nothing_follows(ledger: Ledger, feeds: Subscriptions) -> None:
    (log_id,) = make_logs(ledger.recorder, 1)
    assert list(feeds.subscribe(feeds.sources.entries(log_id), follow=False)) == []
    add(ledger, log_id, PAGE + 1)
    subscription = feeds.subscribe(feeds.sources.entries(log_id), follow=False)
    assert leaves(subscription) == list(range(PAGE + 1))
    assert subscription.position == PAGE
    add(ledger, log_id, 1)
    assert list(subscription) == []  # what has ended stays so


def test_a_page_is_bounded_in_events_and_in_bytes(ledger: Ledger) -> None:
    small, large = make_logs(ledger.recorder, 2)
    add(ledger, small, PAGE + 40)
    add(ledger, large, 40, size=60_000)
    feed = Feed(ledger.datastore)
    assert len(feed.log_page(small, 0)) == PAGE
    assert len(feed.page(1)) == PAGE
    most = PAGE_BYTES // 60_000 + 1
    assert leaves(feed.log_page(large, 7)) == list(range(7, 7 + most))
    assert leaves(feed.page(PAGE + 41)) == list(range(most))


def test_closing_from_another_thread_ends_the_wait(ledger: Ledger, feeds: Subscriptions) -> None:
    (log_id,) = make_logs(ledger.recorder, 1)
    for end in ("itself", "the hub"):
        subscription = feeds.subscribe(feeds.sources.entries(log_id))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(list, subscription)
            (subscription if end == "itself" else feeds).close()
            assert waiting.result(10) == []
    with pytest.raises(UnavailableError):
        feeds.subscribe(feeds.sources.entries(log_id))


def test_events_come_opened_with_their_places(ledger: Ledger, feeds: Subscriptions) -> None:
    log_id = ledger.create_log(LogKind.TENANT, "ledger.example")[0].log_id
    ledger.append([Pending(log_id, log_id, number, Ticked(due_ms=number)) for number in range(3)])
    found = list(feeds.subscribe(feeds.sources.events(log_id), follow=False))
    assert found == list(ledger.history(log_id))
    assert found == list(feeds.subscribe(feeds.sources.all_events(), follow=False))


def test_an_entry_that_does_not_open_is_an_error_when_its_turn_comes(ledger: Ledger, feeds: Subscriptions) -> None:
    log_id = ledger.create_log(LogKind.TENANT, "ledger.example")[0].log_id
    ledger.append([Pending(log_id, log_id, 0, Ticked(due_ms=0))])
    add(ledger, log_id, 1)
    subscription = feeds.subscribe(feeds.sources.events(log_id), follow=False)
    assert leaves([next(subscription)]) == [0]
    with pytest.raises(MalformedError):
        next(subscription)
    assert subscription.position == 0


def test_a_cursor_beyond_the_end_is_refused(ledger: Ledger, feeds: Subscriptions) -> None:
    (log_id,) = make_logs(ledger.recorder, 1)
    add(ledger, log_id, 2)
    assert list(feeds.subscribe(feeds.sources.entries(log_id), after=1, follow=False)) == []
    for source, after in ((feeds.sources.entries(log_id), 2), (feeds.sources.all_entries(), 3)):
        with pytest.raises(VerificationError, match="backup"):
            next(feeds.subscribe(source, after=after))


def test_a_missing_entry_is_an_error_and_is_never_skipped(ledger: Ledger, feeds: Subscriptions, conninfo: str) -> None:
    (log_id,) = make_logs(ledger.recorder, 1)
    add(ledger, log_id, 5)
    with psycopg.connect(as_role(conninfo)) as vandal:
        vandal.execute("ALTER TABLE ledger.stored_events DISABLE TRIGGER ALL")
        vandal.execute("DELETE FROM ledger.stored_events WHERE leaf_index = 2")
    with pytest.raises(VerificationError, match="no entry 2"):
        Feed(ledger.datastore).log_page(log_id, 1)
    with pytest.raises(VerificationError, match="no event 3"):
        list(feeds.subscribe(feeds.sources.all_entries(), follow=False))


def test_when_the_hub_finds_a_hole_whoever_waits_hears_of_it(
    ledger: Ledger, feeds: Subscriptions, conninfo: str
) -> None:
    (log_id,) = make_logs(ledger.recorder, 1)
    add(ledger, log_id, 1)
    subscription = feeds.subscribe(feeds.sources.entries(log_id))
    next(subscription)
    with psycopg.connect(as_role(conninfo)) as vandal:
        vandal.execute("UPDATE ledger.feed_counter SET last_position = 7")
        vandal.execute("INSERT INTO ledger.feed VALUES (7, %s, 1, 1, 7)", (log_id,))
    with pytest.raises(VerificationError, match="position 2"):
        next(subscription)


def test_delayed_commits_of_several_writers_leave_no_hole_and_no_duplicate(
    ledger: Ledger, feeds: Subscriptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_ids = make_logs(ledger.recorder, WRITERS)
    # between the counter and the commit, where a sequence would let a later number commit first
    slow = b"SELECT pg_sleep(random() * 0.02), pg_notify(name, '') FROM ledger.feed_channel"
    monkeypatch.setitem(recorder_module._APPEND, "notify", slow)

    def write(log_id: UUID) -> None:
        for _ in range(COMMITS):
            add(ledger, log_id, 2)

    everything = feeds.subscribe(feeds.sources.all_entries())
    own = [feeds.subscribe(feeds.sources.entries(log_id)) for log_id in log_ids]
    with ThreadPoolExecutor(2 * WRITERS + 1) as pool:
        reading = [pool.submit(taken, one, 2 * COMMITS) for one in own]
        reading_all = pool.submit(taken, everything, 2 * COMMITS * WRITERS)
        list(pool.map(write, log_ids))
        for one in reading:
            assert leaves(one.result(30)) == list(range(2 * COMMITS))
        assert [one.notification_id for one in reading_all.result(30)] == list(range(1, 2 * COMMITS * WRITERS + 1))


def throw_out(postgres: TestServer) -> None:
    """Let the server end all connections of the ledger."""
    with psycopg.connect(postgres.conninfo("postgres", SUPERUSER)) as admin:
        admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'ledger'")


def test_after_lost_connections_it_goes_on_where_it_was(
    postgres: TestServer, ledger: Ledger, feeds: Subscriptions
) -> None:
    (log_id,) = make_logs(ledger.recorder, 1)
    subscription = feeds.subscribe(feeds.sources.entries(log_id))
    with ThreadPoolExecutor(1) as pool:
        for number in range(3):
            waiting = pool.submit(next, subscription)
            throw_out(postgres)
            add(ledger, log_id, 1)
            assert waiting.result(20).leaf_index == number


def test_who_can_read_nothing_is_told_and_goes_on(
    ledger: Ledger, feeds: Subscriptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    (log_id,) = make_logs(ledger.recorder, 1)
    add(ledger, log_id, 2)
    told: list[str] = []
    real, failures = Feed.log_page, iter(range(3))

    def failing(self: Feed, log_id: UUID, first: int, limit: int = PAGE) -> list[StoredEntry]:
        if next(failures, None) is not None:
            raise UnavailableError("the database does not answer: try again")
        return real(self, log_id, first, limit)

    monkeypatch.setattr(Feed, "log_page", failing)
    with feeds.subscribe(feeds.sources.entries(log_id), trouble=told.append) as subscription:
        assert leaves(taken(subscription, 2)) == [0, 1]
    assert told == ["the database does not answer: try again"] * 3


def test_a_tenants_subscription_shows_its_own_entries_and_is_woken_by_nothing_else(
    ledger: Ledger, feeds: Subscriptions
) -> None:
    own, other = make_logs(ledger.recorder, 2)
    add(ledger, other, 5)
    add(ledger, own, 2)
    with feeds.subscribe(tenant_entries(ledger.as_tenant(own))) as subscription:
        found = taken(subscription, 2)
        assert [(one.log_id, one.leaf_index, one.notification_id) for one in found] == [(own, 0, 0), (own, 1, 0)]
    rung = threading.Event()
    rings: list[set[UUID]] = []

    def ring() -> None:
        rings.append(watch.take())
        rung.set()

    everybody = threading.Event()
    watch = feeds.hub.watch(ring, own)
    all_of_them = feeds.hub.watch(everybody.set)
    for _ in range(5):
        everybody.clear()
        all_of_them.take()
        add(ledger, other, 1)
        assert everybody.wait(10)  # the hub has told what moved
    assert set().union(*rings) <= {own}
    before = len(rings)
    rung.clear()
    add(ledger, own, 1)
    assert rung.wait(10)
    assert len(rings) <= before + 1
    assert own in rings[-1]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), st.integers(1, 4)),
        st.tuples(st.just("take"), st.integers(0, 3), st.integers(1, 5)),
        st.tuples(st.just("restart"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("new hub"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_any_interleaving_of_append_read_and_restart_yields_exactly_the_feed(
    ledger: Ledger, actions: list[tuple[str, int, int]]
) -> None:
    log_ids = [log.log_id for log in ledger.logs()] or make_logs(ledger.recorder, 3)
    feeds = Subscriptions(ledger)
    began = [ledger.head(log_id).size - 1 for log_id in log_ids] + [Feed(ledger.datastore).last_event()]
    ends = list(began)
    seen: list[list[int]] = [[] for _ in ends]

    def begin(reader: int) -> Subscription[StoredEntry]:
        sources = feeds.sources
        source = sources.all_entries() if reader == 3 else sources.entries(log_ids[reader])
        return feeds.subscribe(source, after=seen[reader][-1] if seen[reader] else began[reader])

    readers = [begin(number) for number in range(4)]
    for action, which, count in [*actions, *(("take", number, 10**6) for number in range(4))]:
        if action == "append":
            add(ledger, log_ids[which], count)
            ends[which] += count
            ends[3] += count
        elif action == "take":
            seen[which] += positions(readers[which], min(count, ends[which] - readers[which].position))
        elif action == "restart":
            readers[which].close()
            readers[which] = begin(which)
        else:
            feeds.close()
            feeds = Subscriptions(ledger)
            readers = [begin(number) for number in range(4)]
    feeds.close()
    assert seen == [list(range(first + 1, last + 1)) for first, last in zip(began, ends, strict=True)]


def positions(subscription: Subscription[StoredEntry], count: int) -> list[int]:
    """Take so many items; return the cursor after each."""
    found = []
    for _ in range(count):
        next(subscription)
        found.append(subscription.position)
    return found
