"""The same keys used to make two histories for two auditors: found when their bundles meet, and proven to anybody."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from domain.errors import VerificationError
from domain.transparency.anchor_forks import ForkProof, ForkReason
from domain.transparency.tlog_policy import PolicyLog
from infrastructure.anchors.exporting import bundle_files
from infrastructure.anchors.openings import RoundRange
from infrastructure.audit.anchored import Expected
from infrastructure.audit.export import export_bundle
from infrastructure.audit.forks import NotComparableError, check_fork_proof, compare
from infrastructure.commands.log_keys import rotate_log_key
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.tlog.signing import LogSigner
from tests.anchoring.stage import Stage, policy_of, staged
from tests.commands.cell import Cell, Member
from tests.database import TestServer

Views = tuple[Stage, Stage]


@pytest.fixture
def views(postgres: TestServer, tmp_path: Path) -> Iterator[Views]:
    """Two cells that were one until their third round: one keyring, one past, two tenants."""
    with postgres.database() as name, ExitStack() as stack:
        with staged(tmp_path / "one", postgres.conninfo(name), tenants=2) as first:
            for _ in range(3):
                for member in first.members:
                    first.grow(member)
                first.turn()
        with psycopg.connect(postgres.conninfo("postgres", SUPERUSER), autocommit=True) as admin:
            command = SQL("CREATE DATABASE {} OWNER ledger TEMPLATE {}")
            admin.execute(command.format(Identifier(f"{name}_other"), Identifier(name)))
        stack.callback(_drop, postgres, f"{name}_other")
        stages = []
        for database in (name, f"{name}_other"):
            folder = Path(tempfile.mkdtemp(dir=tmp_path))
            shutil.copytree(first.data, folder / "data")
            cell = Cell(folder, postgres.conninfo(database), at_ms=first.cell.clock.now_ms())
            stack.callback(cell.close)
            members = [Member(cell, one.log_id, one.admins) for one in first.members]
            stages.append(Stage(cell, members, stack))
        yield stages[0], stages[1]


def _drop(postgres: TestServer, name: str) -> None:
    with psycopg.connect(postgres.conninfo("postgres", SUPERUSER), autocommit=True) as admin:
        admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def proven(fork: ForkProof | None, stage: Stage, tmp_path: Path) -> ForkReason:
    """Write the proof, and have it checked by somebody who has nothing but the keys."""
    assert fork is not None
    path = tmp_path / "proof"
    path.write_bytes(fork.to_bytes())
    found, reason = check_fork_proof(path, Expected(stage.expected().policy))
    assert found == fork
    return reason


def test_two_histories_of_one_tenant_are_found_and_proven(views: Views, tmp_path: Path) -> None:
    for stage in views:
        for _ in range(2):
            stage.grow()
            stage.turn()
    one, other = (stage.export() for stage in views)
    for bundle, stage in ((one, views[0]), (other, views[1])):
        assert stage.verify(bundle)[0].ok, "each view is whole by itself"
    found = compare(one, other, views[0].expected())
    assert found.authentic
    assert proven(found.fork, views[0], tmp_path) is ForkReason.TWO_ROOTS
    assert compare(other, one, Expected()).fork is not None


def test_two_histories_of_two_lengths_are_proven_by_the_larger_tree(views: Views, tmp_path: Path) -> None:
    for stage, times in zip(views, (1, 4), strict=True):
        for _ in range(times):
            stage.grow()
    bundles = []
    for number, stage in enumerate(views):
        bundles.append(tmp_path / f"plain-{number}")
        export_bundle(stage.ledger, stage.log().log_id, bundles[-1])  # without openings
    found = compare(bundles[0], bundles[1], views[0].expected())
    assert proven(found.fork, views[0], tmp_path) is ForkReason.NOT_A_PREFIX
    assert "the smaller tree is no prefix of the larger one" in found.finding


def test_rounds_that_contradict_a_bundle_name_the_fork_in_its_verdict(views: Views, tmp_path: Path) -> None:
    """The anchors hold one history; the auditor is shown the other one."""
    for stage in views:
        stage.grow()
        stage.turn()
    shown = tmp_path / "shown"
    files = bundle_files(views[1].ledger, views[1].log())
    export_bundle(views[0].ledger, views[0].log().log_id, shown, further=files)
    verdict, anchored = views[0].verify(shown)
    assert not verdict.ok
    assert "one size has two roots" in (verdict.first_error or "")
    assert anchored is not None
    assert proven(anchored.fork, views[0], tmp_path) is ForkReason.TWO_ROOTS
    assert compare(shown, shown, views[0].expected()).fork == anchored.fork


def test_an_anchor_log_that_forked_beside_an_honest_tenant_is_proven(views: Views, tmp_path: Path) -> None:
    for stage in views:
        stage.grow(stage.members[1])
        stage.turn()
    found = compare(views[0].export(), views[1].export(), views[0].expected())
    assert found.fork is not None
    assert found.fork.origin == "ledger.example/anchors"
    assert proven(found.fork, views[0], tmp_path) is ForkReason.TWO_ROOTS


def test_one_round_with_two_entries_is_proven_from_anchor_trees_of_two_sizes(views: Views, tmp_path: Path) -> None:
    for stage, rounds in zip(views, (1, 3), strict=True):
        stage.grow(stage.members[1])
        for _ in range(rounds):
            stage.turn()
    found = compare(views[0].export(), views[1].export(), views[0].expected())
    assert proven(found.fork, views[0], tmp_path) is ForkReason.ROUND_TWICE


def test_bundles_of_one_history_are_one_history_whatever_their_sizes_and_rounds(views: Views) -> None:
    stage = views[0]
    early = stage.export(rounds=RoundRange(0, 1))
    stage.grow()
    stage.turn()
    late = stage.export(rounds=RoundRange(1, 3))
    for one, other in ((early, late), (late, early), (late, late)):
        found = compare(one, other, stage.expected())
        assert found.fork is None
        assert found.finding.startswith("one history: sizes ")
    assert "one history in rounds 0..3" in compare(early, late, stage.expected()).finding
    unheard = compare(early, late, Expected())
    assert (unheard.fork, unheard.authentic) == (None, False)


def test_bundles_that_have_nothing_in_common_are_not_compared(views: Views, tmp_path: Path) -> None:
    stage = views[0]
    own, others = stage.export(), stage.export(stage.members[1])
    with pytest.raises(NotComparableError, match="two logs can't be compared"):
        compare(own, others, Expected())
    strange = tmp_path / "strange"
    shutil.copytree(own, strange)
    (strange / "log.vkey").write_bytes((others / "log.vkey").read_bytes())
    with pytest.raises(VerificationError):
        compare(own, strange, Expected())


def test_a_proof_convinces_by_the_true_keys_alone(views: Views, tmp_path: Path) -> None:
    for stage in views:
        stage.grow()
        stage.turn()
    found = compare(views[0].export(), views[1].export(), Expected())
    assert found.fork is not None
    path = tmp_path / "proof"
    path.write_bytes(found.fork.to_bytes())
    policy = views[0].expected().policy
    assert policy is not None
    strangers = [
        PolicyLog(key)
        for origin in (views[0].log().origin, "ledger.example/anchors")
        for key in LogSigner.from_seeds(origin, b"x" * 32, (origin * 32).encode()[:32]).verifier_keys()
    ]
    with pytest.raises(VerificationError):
        check_fork_proof(path, Expected(replace(policy, logs=tuple(strangers[:2]))))
    with pytest.raises(VerificationError):
        check_fork_proof(path, Expected())
    for damage in (
        b"",
        b"{}",
        path.read_bytes()[:-1],
        path.read_bytes().replace(b'"origin":"ledger', b'"origin":"Ledger'),
    ):
        (tmp_path / "damaged").write_bytes(damage)
        with pytest.raises(VerificationError):
            check_fork_proof(tmp_path / "damaged", Expected(policy))


def test_each_auditors_witness_is_served_by_its_own_view_and_the_policy_of_both_is_not_met(views: Views) -> None:
    """Two witnesses, each shown one view: no anchor tree has both, so neither auditor is told of a quorum."""
    witnesses = [views[number].witness(f"w{number}.example") for number in (0, 1)]
    for number, stage in enumerate(views):
        stage.policy = policy_of([witnesses[number]])
        stage.grow()
        stage.turn()
        stage.policy = policy_of(witnesses)
        verdict, _ = stage.verify(stage.export())
        assert verdict.trust == "verified; not independently witnessed"


def test_a_witness_that_saw_one_view_refuses_the_other(views: Views) -> None:
    witness = views[0].witness("w1.example")
    for stage in views:
        stage.policy = policy_of([witness])
        stage.grow()
        stage.turn()
    assert not views[0].told
    assert "does not extend the one it saw at size 4" in views[1].told[0]
    assert len(list((witness.directory / "evidence").rglob("fork-*.request"))) == 1


def test_a_fork_after_a_rotation_of_keys_is_proven_to_whoever_has_the_older_keys(views: Views, tmp_path: Path) -> None:
    policy = views[0].expected()
    for stage in views:
        rotate_log_key(stage.ledger, stage.log().log_id)
        stage.grow()
        stage.turn()
        verdict, anchored = stage.verify(stage.export(), policy)
        assert verdict.ok, verdict.first_error
        assert anchored is not None
        assert anchored.history == "one history in rounds 0..3"
    found = compare(views[0].export(), views[1].export(), policy)
    assert proven(found.fork, views[0], tmp_path) is ForkReason.TWO_ROOTS


def test_a_bundle_before_and_one_after_a_rotation_are_one_history(views: Views) -> None:
    stage = views[0]
    before, policy = stage.export(), stage.expected()
    rotate_log_key(stage.ledger, stage.log().log_id)
    stage.turn()
    for expected in (policy, Expected()):
        assert compare(before, stage.export(), expected).finding.startswith("one history")
    rotate_log_key(views[1].ledger, views[1].log().log_id)
    with pytest.raises(NotComparableError, match="came with other keys"):
        compare(stage.export(), views[1].export(), Expected())
