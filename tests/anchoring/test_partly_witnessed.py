"""Rounds that hold nothing of a bundle, or not all of it: no more is called witnessed than is; an age bounds the rest.

The operator here stops anchoring one tenant, whose log goes on: every auditor could be shown another tail.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from domain.message import Pending
from domain.tenants.events import KeyDisclosed
from infrastructure.anchors.exporting import bundle_files
from infrastructure.audit.anchored import Anchored, verify_anchored
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.cli.anchored_auditing import anchored_members
from infrastructure.tlog.verdict import Verification
from tests.anchoring.stage import ROUND_MS, Stage, policy_of

HOUR_S = 3600


@pytest.fixture
def stage(stage: Stage) -> Stage:
    stage.policy = policy_of([stage.witness("w1.example")])
    return stage


def exported(stage: Stage, with_keys: str | None = "all") -> Path:
    out, log = stage.cell.folder / "bundle", stage.log()
    export_bundle(stage.ledger, log.log_id, out, with_keys=with_keys, further=bundle_files(stage.ledger, log))
    return out


def unanchored(stage: Stage, rounds: int) -> None:
    """Let rounds pass that commit to what was published before."""
    for _ in range(rounds):
        stage.turn(publish=False)


def audited(stage: Stage, bundle: Path, max_age_s: int | None = None) -> tuple[Verification, Anchored]:
    verdict, anchored = stage.verify(bundle, stage.expected(max_age_s=max_age_s))
    assert anchored is not None, verdict.first_error
    return verdict, anchored


def refused(stage: Stage, bundle: Path, max_age_s: int, says: str) -> None:
    verdict, anchored = stage.verify(bundle, stage.expected(max_age_s=max_age_s))
    assert (verdict.ok, verdict.trust, verdict.checked, anchored) == (False, "not verified", (), None)
    assert says in (verdict.first_error or ""), verdict.first_error


def test_a_log_of_which_no_round_holds_anything_is_not_witnessed(stage: Stage) -> None:
    unanchored(stage, 4)
    bundle = exported(stage)
    verdict, anchored = audited(stage, bundle)
    assert verdict.trust == "verified; not independently witnessed"
    assert verdict.not_checked[0] == "not independently witnessed: the rounds that are shown hold no entry of it"
    assert not any("quorum" in line for line in verdict.checked)
    told = anchored_members(anchored)
    assert (told["covered"], told["witnessed"], told["witnessed_size"], told["witnessed_at"]) == (0, False, 0, None)
    refused(stage, bundle, HOUR_S, "the rounds that are shown hold no entry of it")


def test_what_is_witnessed_of_a_log_is_said_with_its_size(stage: Stage) -> None:
    stage.turn()
    bundle = exported(stage)
    verdict, anchored = audited(stage, bundle)
    size = verdict.size or 0
    assert verdict.trust == "verified"
    assert any(line.startswith(f"witnessed up to size {size - 1} of {size}: a quorum") for line in verdict.checked)
    assert "that 1 entries after the last round are everybody's" in verdict.not_checked
    told = anchored_members(anchored)
    assert (told["covered"], told["witnessed"], told["witnessed_size"]) == (size - 1, False, size - 1)


def test_a_log_that_is_witnessed_whole_is_called_so(stage: Stage) -> None:
    stage.turn()
    verdict, anchored = audited(stage, exported(stage, with_keys=None), HOUR_S)
    told = anchored_members(anchored)
    assert (verdict.trust, told["witnessed"], told["witnessed_size"]) == ("verified", True, verdict.size)


def test_a_greatest_age_allows_disclosed_entries_after_the_last_round_that_are_younger(stage: Stage) -> None:
    stage.turn()
    stage.grow()
    bundle = exported(stage)
    assert audited(stage, bundle, 0)[0].trust == "verified"


def test_under_a_greatest_age_a_log_that_went_on_unanchored_is_refused(stage: Stage) -> None:
    stage.turn()
    stage.grow()
    unanchored(stage, 10)
    refused(
        stage, exported(stage), 9 * ROUND_MS // 1000, "and entry 3, which no round that is shown holds, is 600 s old"
    )


def test_under_a_greatest_age_entries_after_the_last_round_must_be_disclosed(stage: Stage) -> None:
    stage.turn()
    stage.grow()
    for with_keys in (None, str(stage.log().log_id)):
        stage.grow()
        bundle = exported(stage, with_keys)
        if with_keys is None:
            refused(stage, bundle, HOUR_S, "how old entry 3 is, which no round that is shown holds, can't be told")
            bundle.rename(bundle.with_name("sealed"))
        else:
            assert audited(stage, bundle, HOUR_S)[0].ok


def test_entries_after_the_last_round_that_come_from_the_future_are_refused(stage: Stage) -> None:
    stage.turn()
    log = stage.log()
    own = stage.ledger.stream(log.log_id, log.log_id)
    event = KeyDisclosed(streams=1, streams_digest="0" * 64, everything=False, recipient="nobody")
    stage.cell.clock.advance_to(stage.cell.clock.now_ms() + HOUR_S * 1000)
    stage.ledger.append([Pending(log.log_id, log.log_id, own[-1].version + 1, event)])
    bundle = exported(stage)
    expected = stage.expected(max_age_s=HOUR_S)
    earlier = replace(expected, now_unix_s=expected.now_unix_s - HOUR_S)
    verdict, _ = stage.verify(bundle, earlier)
    assert "compare the clocks" in (verdict.first_error or "")


def test_openings_without_the_anchor_logs_checkpoint_are_looked_at(stage: Stage) -> None:
    """Without a policy, too: what a bundle brings is never passed over in silence."""
    stage.turn()
    stage.turn()
    log = stage.log()
    openings = [(path, data) for path, data in bundle_files(stage.ledger, log) if path != "anchors/checkpoint"]
    for name, files, says in (
        ("rubbish", [(path, b"rubbish\n") for path, _ in openings if path.startswith("openings/")], "openings/0"),
        ("keyless", [one for one in openings if one[0].startswith("openings/")], "no key is known for"),
        ("whole", openings, None),
    ):
        out = stage.cell.folder / name
        export_bundle(stage.ledger, log.log_id, out, further=files)
        verdict, anchored = verify_anchored(out, verify_bundle(out), replace(stage.expected(), policy=None))
        assert verdict.ok == (says is None)
        if says is None:
            assert anchored is not None
            assert anchored.history == "one history in rounds 0..1"
        else:
            assert says in (verdict.first_error or "")
