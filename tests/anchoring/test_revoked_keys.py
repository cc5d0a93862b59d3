"""Revocations held against rounds: what revoked keys signed counts where independent witnesses saw it in time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from domain.transparency.checkpoint import Checkpoint
from domain.transparency.key_notes import RevokedNote
from domain.transparency.tlog_policy import NO_QUORUM
from infrastructure.anchors.exporting import bundle_files
from infrastructure.audit.anchored import Expected
from infrastructure.audit.export import export_bundle
from infrastructure.audit.revoked import hold_revocations
from infrastructure.commands.log_keys import rotate_log_key
from infrastructure.tlog.revocation import Recovery
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.tree import TileTree
from infrastructure.tlog.verdict import Verification
from tests.anchoring.stage import Stage, policy_of, staged
from tests.database import TestServer

HOLDER = LogSigner.from_seeds("anna", b"r" * 32, b"s" * 32)
ROTATED_AT = 2
"""The round that holds the entry about the new keys; the bundle's own checkpoint comes in the round after it."""


@dataclass
class Rotated:
    """A tenant whose keys changed between the rounds 1 and 2, what its auditor knew before, and two bundles."""

    stage: Stage
    before: Expected
    disclosed: Path
    sealed: Path

    def held(
        self, bundle: Path, generation: int, last_round: int, expected: Expected, good: Checkpoint | None = None
    ) -> Verification:
        """Verify a bundle; hold it against a revocation of a generation whose last good round this is."""
        verdict, anchored = self.stage.verify(bundle, expected)
        assert verdict.ok, verdict.first_error
        assert verdict.origin is not None
        last_good = good or TileTree(bundle, verdict.size or 0).checkpoint(verdict.origin, 1)
        note = HOLDER.sign_note(RevokedNote(generation, last_round, last_good).to_text(), 1)
        outside = [log.key for log in expected.policy.logs] if expected.policy else []
        recovery = Recovery(HOLDER.verifier_keys(), 1)
        return hold_revocations(bundle, verdict, recovery, [note], outside=outside, anchored=anchored)


@pytest.fixture(scope="module")
def rotated(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotated]:
    with postgres.database() as name, staged(tmp_path_factory.mktemp("cell"), postgres.conninfo(name)) as stage:
        stage.policy = policy_of([stage.witness("w1.example")])
        for _ in range(ROTATED_AT):
            stage.grow()
            stage.turn()
        before = stage.expected()
        rotate_log_key(stage.ledger, stage.log().log_id)
        stage.turn()
        disclosed, log = stage.cell.folder / "disclosed", stage.log()
        stage.grow()
        stage.turn()
        sealed = stage.export()
        export_bundle(stage.ledger, log.log_id, disclosed, with_keys="all", further=bundle_files(stage.ledger, log))
        yield Rotated(stage, before, disclosed, sealed)


@pytest.mark.parametrize(("last_round", "stands"), [(ROTATED_AT - 1, False), (ROTATED_AT, True), (9, True)])
def test_keys_that_revoked_ones_signed_in_count_from_the_round_that_holds_the_entry_about_them(
    rotated: Rotated, last_round: int, *, stands: bool
) -> None:
    verdict = rotated.held(rotated.disclosed, 0, last_round, rotated.before)
    assert verdict.ok == stands
    assert stands or f"round {ROTATED_AT} is the first" in (verdict.first_error or "")


def test_an_entry_about_new_keys_that_was_not_disclosed_speaks_for_nothing(rotated: Rotated) -> None:
    assert "none is known" in (rotated.held(rotated.sealed, 0, 9, rotated.before).first_error or "")


@pytest.mark.parametrize(("last_round", "stands"), [(ROTATED_AT, False), (ROTATED_AT + 1, True)])
def test_a_checkpoint_of_revoked_keys_counts_from_the_round_that_commits_to_it(
    rotated: Rotated, last_round: int, *, stands: bool
) -> None:
    verdict = rotated.held(rotated.sealed, 1, last_round, rotated.stage.expected())
    assert verdict.ok == stands
    assert stands or f"round {ROTATED_AT + 1} is the first" in (verdict.first_error or "")


def test_rounds_that_nobody_witnessed_speak_for_nothing(rotated: Rotated) -> None:
    for bundle, generation, expected in (
        (rotated.sealed, 1, rotated.stage.expected()),
        (rotated.disclosed, 0, rotated.before),
    ):
        assert expected.policy is not None
        unseen = replace(expected, policy=replace(expected.policy, quorum=NO_QUORUM))
        assert "none is known" in (rotated.held(bundle, generation, 9, unseen).first_error or "")


def test_a_last_good_tree_that_the_log_never_had_is_a_fork_by_name(rotated: Rotated) -> None:
    good = Checkpoint(rotated.stage.log().origin, 1, b"\x11" * 32)
    verdict = rotated.held(rotated.sealed, 1, 9, rotated.stage.expected(), good)
    assert (verdict.ok, verdict.trust) == (False, "not verified")
    assert "fork: the last good tree of size 1" in (verdict.first_error or "")
