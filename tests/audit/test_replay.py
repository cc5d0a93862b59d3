"""Replay: the same history gives the same state, whoever folds it, from wherever, up to any point."""

from pathlib import Path

import pytest

from domain.errors import LedgerError, MalformedError, VerificationError
from infrastructure.audit.disclosure import KEYS
from infrastructure.audit.export import export_bundle, log_signer
from infrastructure.audit.replay import replay_bundle, replay_log
from infrastructure.projecting import follower as follower_module
from infrastructure.projector import Projector
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.reader import read_entries
from tests.audit.conftest import Scene
from tests.audit.past import Past


def test_bundle_and_database_give_the_same_digest_at_every_fifth_size(scene: Scene) -> None:
    head = replay_bundle(scene.bundle).size
    digests = set()
    for size in [*range(0, head, 5), head]:
        bundle = replay_bundle(scene.bundle, size=size)
        database = replay_log(scene.cell.ledger, scene.member.log_id, size=size)
        assert (bundle.digest, bundle.size, bundle.topics) == (database.digest, database.size, database.topics)
        assert sum(bundle.topics.values()) == bundle.size == size
        digests.add(bundle.digest)
    assert len(digests) == len(range(0, head, 5)) + 1


def test_bundle_and_database_give_the_same_digest_at_every_instant(scene: Scene) -> None:
    times = sorted({recorded.at_ms for recorded in scene.cell.history(scene.member)})
    assert len(times) > 5
    head = replay_bundle(scene.bundle).size
    for at_ms in [0, times[0] - 1, *times[:: max(1, len(times) // 6)], times[-1] + 1]:
        bundle = replay_bundle(scene.bundle, at_ms=at_ms)
        database = replay_log(
            scene.cell.ledger, scene.member.log_id, size=replay_bundle(scene.bundle).size, at_ms=at_ms
        )
        assert bundle.digest == database.digest
        assert bundle.at_ms <= at_ms
        assert bundle.size == sum(recorded.at_ms <= at_ms for recorded in scene.cell.history(scene.member)[:head])


def test_an_instant_means_the_longest_prefix_that_ends_at_or_before_it_though_clocks_of_several_writers_fall(
    past: Past, tmp_path: Path
) -> None:
    entries, instants = [], []
    for item in past.history:
        behind = 25 if item.leaf_index % 4 == 3 else 0  # every fourth was written by another clock
        at_ms = 1_000_000 + item.leaf_index * 10 - behind
        instants.append(at_ms)
        entries.append(past.seal(item.stream_id, item.version, item.event.TOPIC, item.event.payload(), at_ms))
    bundle = past.bundle(tmp_path / "b", entries)
    for at_ms in (0, instants[0], instants[3], instants[3] - 1, instants[2], instants[40], instants[43], instants[-1]):
        size = max((number for number, instant in enumerate(instants, 1) if instant <= at_ms), default=0)
        replayed = replay_bundle(bundle, at_ms=at_ms)
        assert (replayed.size, replayed.digest) == (size, replay_bundle(bundle, size=size).digest)
        assert size == 0 or replayed.at_ms <= at_ms
    assert replay_bundle(bundle, at_ms=instants[3]).size == 4
    assert replay_bundle(bundle, at_ms=instants[3], size=3).size == 1


def test_what_lies_behind_the_end_of_a_replay_is_not_opened(past: Past, tmp_path: Path) -> None:
    first = [item.stream_id for item in past.history[:20]]
    bundle = past.bundle(tmp_path / "b", streams=set(first))
    assert replay_bundle(bundle, size=20).size == 20
    with pytest.raises(MalformedError, match="not disclosed"):
        replay_bundle(bundle)


def test_at_the_head_a_replay_equals_the_live_projections_of_every_log(scene: Scene) -> None:
    projector = Projector(scene.cell.ledger)
    projector.catch_up()
    for log in scene.cell.ledger.logs():
        assert replay_log(scene.cell.ledger, log.log_id).digest == projector.digest(log.log_id)
    assert projector.catch_up() == 0


def test_read_models_built_in_pieces_at_once_or_again_are_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    projector = Projector(scene.cell.ledger)
    projector.catch_up()  # the scene caught up after each act
    pieces = projector.digest(scene.member.log_id)
    for batch in (1, 7, 10_000):
        monkeypatch.setattr(follower_module, "BATCH", batch)
        projector.rebuild(scene.member.log_id)
        assert projector.digest(scene.member.log_id) == pieces


def test_a_size_or_history_that_is_not_there_is_refused(scene: Scene, tmp_path: Path) -> None:
    head = replay_bundle(scene.bundle).size
    for size in (-1, head + 1):
        with pytest.raises(MalformedError, match="size"):
            replay_bundle(scene.bundle, size=size)
    export_bundle(scene.cell.ledger, scene.member.log_id, tmp_path / "sealed")
    with pytest.raises(LedgerError, match=r"keys\.json"):
        replay_bundle(tmp_path / "sealed")
    for missing in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(LedgerError):
            replay_bundle(missing)


def test_a_history_that_does_not_fold_is_an_error_of_that_history(scene: Scene, tmp_path: Path) -> None:
    """Whoever holds the keys can leave whole streams out; what then hangs in the air is told, not a fault of ours."""
    history = scene.cell.history(scene.member)
    entries = list(read_entries(scene.bundle))
    submitted = next(item for item in history if item.event.TOPIC == "workload.submitted.v1")
    kept = [entry for entry, item in zip(entries, history, strict=False) if item.stream_id != submitted.stream_id]
    signer = log_signer(scene.cell.ledger, scene.member.log_id)
    extra = {KEYS: (scene.bundle / KEYS).read_bytes()}
    write_bundle(
        kept, size=len(kept), signer=signer, at_unix_s=1_700_000_000, out=tmp_path / "torn", extra=extra.items()
    )
    with pytest.raises(VerificationError, match="entry"):
        replay_bundle(tmp_path / "torn")
