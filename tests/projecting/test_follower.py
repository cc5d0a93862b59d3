"""One projection followed: exactly once, in bounded batches, past what can't be read, and no further than a fault."""

from collections.abc import Mapping
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import ConflictError, UnknownError
from domain.message import Event, Recorded
from domain.platform.events import Ticked
from infrastructure.audit.replay import PROJECTIONS, replay_log
from infrastructure.ledger import Ledger
from infrastructure.postgres.views import Views
from infrastructure.projecting import follower as follower_module
from infrastructure.projecting.follower import NOTHING, Follower
from infrastructure.projecting.rows import Row
from infrastructure.projector import Projector
from tests.postgres.sample import event as random_entry
from tests.projecting.histories import (
    CHAIN,
    HISTORIES,
    append,
    chain,
    finish,
    folded,
    lives_of_many,
    make_log,
    stored,
    tick,
)
from tests.projections.test_audit_trail import LIVES


def poisonous(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
    """Fold, but for the event at leaf index 7."""
    if recorded.leaf_index == 7:
        raise KeyError(f"a secret of the tenant's: {recorded.event!r}")
    return chain(rows, recorded)


ACTS = st.lists(st.sampled_from(["append", "append", "catch up", "rebuild", "begin a rebuild", "restart"]), max_size=12)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES, acts=ACTS, data=st.data())
def test_incremental_is_rebuilt_is_replayed(
    ledger: Ledger, history: list[tuple[UUID, Event]], acts: list[str], data: st.DataObject
) -> None:
    log_id, rest = make_log(ledger), list(history)
    projector = Projector(ledger)
    for act in acts:
        if act == "append":
            count = data.draw(st.integers(0, len(rest)))
            append(ledger, log_id, rest[:count])
            del rest[:count]
        elif act == "catch up":
            projector.catch_up()
        elif act == "rebuild":
            projector.rebuild(log_id)
        elif act == "restart":
            projector = Projector(ledger)
        else:
            for name, project in PROJECTIONS.items():
                Follower(ledger, name, project).rebuild(log_id)
    append(ledger, log_id, rest)
    Projector(ledger).catch_up()
    incremental = projector.digest(log_id)
    projector.rebuild(log_id)
    assert incremental == projector.digest(log_id) == replay_log(ledger, log_id).digest
    assert projector.catch_up() == 0


@pytest.mark.parametrize("life", sorted(LIVES))
def test_every_projection_folds_a_whole_life(ledger: Ledger, life: str) -> None:
    log_id = make_log(ledger)
    append(ledger, log_id, lives_of_many([(life, len(LIVES[life]) - 1)], []))
    projector = Projector(ledger)
    assert projector.catch_up() == len(LIVES[life]) * len(PROJECTIONS)
    assert projector.digest(log_id) == replay_log(ledger, log_id).digest


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_whatever_the_batches_each_event_counts_once_and_in_order(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(follower_module, "BATCH", batch)
    log_id = make_log(ledger)
    follower = Follower(ledger, CHAIN, chain)
    for events in (1, 5, 12):
        tick(ledger, log_id, events)
        first = follower.step(log_id)
        assert first.folded == min(batch, events)
        assert first.folded + finish(follower, log_id) == events
    assert stored(ledger, CHAIN, log_id) == folded(chain, list(ledger.history(log_id)))
    assert follower.step(log_id) == NOTHING
    assert follower.behind() == []


def test_two_followers_that_take_turns_or_race_count_every_event_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "BATCH", 2)
    log_id = make_log(ledger)
    one, two = Follower(ledger, CHAIN, chain), Follower(ledger, CHAIN, chain)
    tick(ledger, log_id, 11)
    real = Views.apply

    def overtaken(self: Views, *arguments: object, **named: object) -> None:
        monkeypatch.setattr(Views, "apply", real)
        two.step(log_id)
        real(self, *arguments, **named)  # type: ignore[arg-type]  # passed on as it came

    assert one.step(log_id).folded == 2
    assert two.step(log_id).folded == 2
    monkeypatch.setattr(Views, "apply", overtaken)
    with pytest.raises(ConflictError):
        one.step(log_id)
    assert finish(one, log_id) == 5
    assert stored(ledger, CHAIN, log_id) == folded(chain, list(ledger.history(log_id)))


def test_a_fold_reads_the_rows_that_it_asks_for_and_each_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    log_id = make_log(ledger)
    for _ in range(5):
        tick(ledger, log_id, 20, streams=20)
    finish(Follower(ledger, CHAIN, chain), log_id)
    asked: list[str] = []
    real = Views.row_of

    def asking(self: Views, edition: str, log_id: UUID, key: str) -> bytes | None:
        asked.append(key)
        return real(self, edition, log_id, key)

    monkeypatch.setattr(Views, "row_of", asking)
    follower = Follower(ledger, CHAIN, chain)
    tick(ledger, log_id, 4, streams=2)
    finish(follower, log_id)
    assert sorted(asked) == sorted({"all", *(f"stream/{UUID(int=log_id.int + number)}" for number in (1, 2))})
    tick(ledger, log_id, 4, streams=2)
    finish(follower, log_id)
    assert len(asked) == 3  # what it wrote itself it knows
    monkeypatch.setattr(follower_module, "MOST_ROWS", 1)
    tick(ledger, log_id, 2, streams=2)
    finish(follower, log_id)
    tick(ledger, log_id, 2, streams=2)
    finish(follower, log_id)
    assert len(asked) == 6  # what would be too much is not held
    assert stored(ledger, CHAIN, log_id) == folded(chain, list(ledger.history(log_id)))


def test_rows_cannot_be_counted_or_listed_by_a_fold(ledger: Ledger) -> None:
    log_id = make_log(ledger)
    tick(ledger, log_id)
    follower = Follower(ledger, CHAIN, lambda rows, _: {"n": {"n": len(rows)}})
    assert follower.step(log_id).stopped
    assert stored(ledger, CHAIN, log_id) == {}


def test_a_poisoned_event_stops_its_own_log_visibly_and_no_other(ledger: Ledger) -> None:
    ill, well = make_log(ledger), make_log(ledger)
    tick(ledger, ill, 10)
    tick(ledger, well, 5)
    follower = Follower(ledger, CHAIN, poisonous)
    for _ in range(2):
        assert follower.step(ill).stopped
        assert finish(follower, well) in {0, 5}
    views = Views(ledger.datastore)
    (standing,) = views.standings(CHAIN, ill)
    assert standing.fault is not None
    assert (standing.position, standing.fault.leaf_index, standing.fault.error) == (7, 7, "KeyError")
    assert stored(ledger, CHAIN, ill) == folded(chain, list(ledger.history(ill, size=7)))
    assert stored(ledger, CHAIN, well) == folded(chain, list(ledger.history(well)))
    finish(Follower(ledger, CHAIN, chain), ill)  # the program is mended
    assert views.standings(CHAIN, ill)[0].fault is None
    assert stored(ledger, CHAIN, ill) == folded(chain, list(ledger.history(ill)))


def test_an_entry_that_does_not_open_stops_the_log_and_so_do_keys_that_are_missing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_id, other = make_log(ledger), make_log(ledger)
    tick(ledger, log_id, 2)
    ledger.recorder.append([random_entry(log_id)])
    follower = Follower(ledger, CHAIN, chain)
    step = follower.step(log_id)
    assert (step.folded, step.stopped) == (2, True)
    tick(ledger, other, 2)

    def erased(self: Ledger, log_id: UUID) -> bool:
        raise UnknownError("the keyring holds no keys of the log")

    monkeypatch.setattr(Ledger, "erased", erased)
    assert follower.step(other).stopped
    faults = {one.log_id: one.fault for one in Views(ledger.datastore).standings(CHAIN)}
    assert {log: fault and (fault.leaf_index, fault.error) for log, fault in faults.items()} == {
        log_id: (2, "MalformedError"), other: (0, "UnknownError"),
    }  # fmt: skip


def test_events_that_can_no_longer_be_read_are_passed_over_and_an_erased_log_has_no_rows(ledger: Ledger) -> None:
    gone, kept = make_log(ledger), make_log(ledger)
    for log_id in (gone, kept):
        tick(ledger, log_id, 3)
    follower = Follower(ledger, CHAIN, chain)
    follower.step(gone)
    ledger.keyring.destroy(gone)
    assert ledger.erased(gone)
    Views(ledger.datastore).drop(gone)
    assert follower.step(gone) == NOTHING
    assert follower.step(kept).folded == 3
    assert Views(ledger.datastore).rows(CHAIN, gone) == {}
    assert Projector(ledger).catch_up() == 3 * len(PROJECTIONS)


def test_a_new_version_is_built_beside_the_old_one_which_is_read_meanwhile(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "BATCH", 4)

    def second(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
        assert isinstance(recorded.event, Ticked)
        return {"last": {"due_ms": recorded.event.due_ms}, **chain(rows, recorded)}

    log_id = make_log(ledger)
    old, new = Follower(ledger, "chain_v1", chain), Follower(ledger, "chain_v2", second)
    tick(ledger, log_id, 10)
    finish(old, log_id)
    before = stored(ledger, CHAIN, log_id)
    while new.step(log_id).more:
        seen = stored(ledger, CHAIN, log_id)
        assert seen in (before, {**before, "last": {"due_ms": 9}})
    assert stored(ledger, CHAIN, log_id) == {**before, "last": {"due_ms": 9}}
    tick(ledger, log_id, 1)
    assert old.step(log_id) == NOTHING  # an older program leaves it alone, and doesn't build its own again
    assert not old.rebuild(log_id)
    assert old.behind() == []
    assert finish(new, log_id) == 1
    assert Views(ledger.datastore).row_of("chain_v1", log_id, "all") is None
