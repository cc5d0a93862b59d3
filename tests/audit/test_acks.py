"""Acknowledgements against a bundle: what is there, not due, lost, foreign or forged."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from domain.errors import MalformedError
from infrastructure.audit.acks import hold_acks
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.cli.app import app
from infrastructure.statements.acknowledgement import Acknowledgement, ack_key_document
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.reader import read_entries
from infrastructure.tlog.signing import LogSigner
from tests.append.scene import JTI, Scene, command, open_scene
from tests.database import conninfo, postgres

__all__ = ["conninfo", "postgres"]

EVENTS = 300  # more than a tile


@pytest.fixture
def scene(conninfo: str, tmp_path: Path) -> Any:
    with open_scene(conninfo, tmp_path / "keys", logs=2) as made:
        yield made


@pytest.fixture
def acks(scene: Scene, tmp_path: Path) -> list[Acknowledgement]:
    """Store events of the first log, and write each one's acknowledgement."""
    log = scene.logs[0]
    answers = [
        scene.ledger.append([scene.pending(log)], command=command(log)),
        scene.ledger.append([scene.pending(log) for _ in range(EVENTS - 1)]),
    ]
    made = [one for answer in answers for one in answer.acknowledgements]
    write(tmp_path / "acks", made)
    return made


def write(directory: Path, acks: Sequence[Acknowledgement]) -> Path:
    directory.mkdir(exist_ok=True)
    for one in acks:
        (directory / f"{one.event.leaf_index:06d}.ack").write_bytes(one.to_bytes())
    return directory


def exported(scene: Scene, out: Path, entries: Sequence[bytes] | None = None) -> Path:
    """Export the first log; with other entries, as whoever holds its keys can write them."""
    log = scene.logs[0]
    if entries is None:
        export_bundle(scene.ledger, log, out)
        return out
    keys = scene.ledger.keyring.get(log)
    signer = LogSigner(scene.ledger.log(log).origin, keys.ed25519_key(), keys.mldsa44_key())
    extra = {"ack.jwk": ack_key_document(scene.key(log))}
    write_bundle(entries, size=len(entries), signer=signer, at_unix_s=1_700_000_000, out=out, extra=extra.items())
    return out


def held(bundle: Path, directory: Path, **given: Any) -> tuple[Any, Any]:
    verdict = verify_bundle(bundle)
    assert verdict.ok, verdict.first_error
    return hold_acks(bundle, verdict, directory, **given)


def test_every_acknowledged_event_is_found_in_the_exported_log(
    scene: Scene, acks: list[Acknowledgement], tmp_path: Path
) -> None:
    bundle = exported(scene, tmp_path / "bundle")
    (tmp_path / "acks" / "notes.txt").write_text("no acknowledgement")
    verdict, report = held(bundle, tmp_path / "acks")
    assert verdict.ok
    assert (report.found, report.not_due, report.untold, report.lost, report.refused) == (len(acks), 0, 0, (), ())
    assert f"{EVENTS} acknowledged events lie where they were acknowledged" in verdict.checked


@pytest.mark.usefixtures("acks")
def test_a_log_rewritten_under_its_own_keys_is_proved_to_have_lost_the_write(scene: Scene, tmp_path: Path) -> None:
    entries = list(read_entries(exported(scene, tmp_path / "honest")))
    entries[0], entries[270] = entries[270], entries[0]
    verdict, report = held(exported(scene, tmp_path / "swapped", entries), tmp_path / "acks")
    assert not verdict.ok
    assert verdict.trust == "not verified"
    assert [(one.leaf_index, one.jti, one.publish_by) for one in report.lost] == [(0, JTI, 10), (270, "", 10)]
    assert "lost write: leaf 0, command 0123456789abcdef" in (verdict.first_error or "")
    assert report.found == EVENTS - 2


@pytest.mark.usefixtures("acks")
def test_what_the_log_does_not_reach_is_lost_once_its_round_has_passed_and_not_before(
    scene: Scene, tmp_path: Path
) -> None:
    entries = list(read_entries(exported(scene, tmp_path / "honest")))[:100]
    bundle = exported(scene, tmp_path / "cut", entries)
    verdict, report = held(bundle, tmp_path / "acks")
    assert (verdict.ok, report.found, report.not_due, report.untold) == (True, 100, 0, EVENTS - 100)
    for covered in (0, 9):
        verdict, report = held(bundle, tmp_path / "acks", covered_round=covered)
        assert verdict.ok
        assert (report.found, report.not_due) == (100, EVENTS - 100)
        assert f"{EVENTS - 100} acknowledged events that are not due yet" in verdict.not_checked
    verdict, report = held(bundle, tmp_path / "acks", covered_round=10)
    assert not verdict.ok
    assert len(report.lost) == EVENTS - 100
    assert "round 10 has passed" in report.lost[0].reason


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: replace(one, event=one.event._replace(leaf_hash=bytes(32))),
        lambda one: replace(one, event=one.event._replace(leaf_index=9)),
        lambda one: replace(one, token=one.token[:-8] + "AAAAAAAA"),
    ],
)
def test_a_forged_acknowledgement_is_refused_by_name_and_proves_nothing(
    scene: Scene, acks: list[Acknowledgement], tmp_path: Path, spoil: Callable[[Acknowledgement], Acknowledgement]
) -> None:
    (tmp_path / "acks" / "000007.ack").write_bytes(spoil(acks[7]).to_bytes())
    verdict, report = held(exported(scene, tmp_path / "bundle"), tmp_path / "acks")
    assert not verdict.ok
    assert report.lost == ()
    (refused,) = report.refused
    assert refused.startswith("000007.ack: ")
    assert verdict.first_error == refused


def test_another_logs_acknowledgement_and_what_is_none_are_refused_by_name(
    scene: Scene, acks: list[Acknowledgement], tmp_path: Path
) -> None:
    other = scene.ledger.append([scene.pending(scene.logs[1])]).acknowledgements[0]
    directory = write(tmp_path / "few", acks[:2])
    (directory / "x.ack").write_bytes(other.to_bytes())
    (directory / "y.ack").write_bytes(b"{}")
    (directory / "z.ack").symlink_to(directory / "000000.ack")
    _, report = held(exported(scene, tmp_path / "bundle"), directory)
    assert [text.partition(":")[0] for text in report.refused] == ["x.ack", "y.ack", "z.ack"]
    assert report.found == 2


@pytest.mark.usefixtures("acks")
def test_the_key_from_outside_stands_above_the_one_in_the_bundle(scene: Scene, tmp_path: Path) -> None:
    bundle = exported(scene, tmp_path / "bundle")
    assert held(bundle, tmp_path / "acks", key=scene.key(scene.logs[0]))[0].ok
    verdict, report = held(bundle, tmp_path / "acks", key=scene.key(scene.logs[1]))
    assert (verdict.ok, verdict.trust, report) == (False, "not verified", None)
    assert "ack.jwk: not the key" in (verdict.first_error or "")


@pytest.mark.usefixtures("acks")
def test_without_a_key_nothing_is_held_against_anything(scene: Scene, tmp_path: Path) -> None:
    bundle = exported(scene, tmp_path / "bundle")
    verdict = verify_bundle(bundle)
    (bundle / "ack.jwk").unlink()
    held_to, report = hold_acks(bundle, verdict, tmp_path / "acks")
    assert (held_to.ok, report) == (False, None)
    assert "ack.jwk" in (held_to.first_error or "")


def test_a_directory_without_acknowledgements_is_a_mistake(scene: Scene, tmp_path: Path) -> None:
    scene.ledger.append([scene.pending(scene.logs[0])])
    bundle = exported(scene, tmp_path / "bundle")
    (tmp_path / "none").mkdir()
    for directory in (tmp_path / "none", tmp_path / "missing"):
        with pytest.raises(MalformedError):
            held(bundle, directory)


def test_the_command_says_what_was_lost_and_ends_with_1(
    scene: Scene, acks: list[Acknowledgement], tmp_path: Path
) -> None:
    entries = list(read_entries(exported(scene, tmp_path / "honest")))
    few = write(tmp_path / "few", acks[:3])
    arguments = ["audit", "verify", "--acks", str(few), "--json"]
    good = CliRunner().invoke(app, [*arguments, str(tmp_path / "honest")])
    assert good.exit_code == 0
    assert json.loads(good.stdout.splitlines()[-1])["acks"] == {
        "found": 3, "not_due": 0, "untold": 0, "lost": [], "refused": []
    }  # fmt: skip
    bundle = exported(scene, tmp_path / "swapped", [entries[1], entries[0], *entries[2:]])
    bad = CliRunner().invoke(app, [*arguments, str(bundle)])
    assert bad.exit_code == 1
    told = json.loads(bad.stdout.splitlines()[-1])
    assert [(one["leaf_index"], one["jti"]) for one in told["acks"]["lost"]] == [(0, JTI), (1, None)]
    assert told["first_error"].startswith("000000.ack: lost write")
