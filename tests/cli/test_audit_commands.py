"""Auditors' commands: two states of a log held against each other, a second opinion, an audit that goes on."""

import os
import signal
from pathlib import Path

import pytest

from infrastructure.audit import journal
from infrastructure.audit.verify import verify_bundle
from infrastructure.cli import auditing, resuming
from scripts.bench.audit.long_log import LongLog
from tests.cli.conftest import EXAMPLES, TENANT, Installation

FLOOD = EXAMPLES / "flood.submission.json"


@pytest.fixture(scope="module")
def old(ledger: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("old") / "bundle"
    ledger.done("audit", "export", "--tenant", TENANT, "--out", out)
    return out


def test_a_later_export_extends_an_earlier_one_and_not_the_other_way_round(
    ledger: Installation, old: Path, tmp_path: Path
) -> None:
    ledger.done("submit", FLOOD, "--tenant", TENANT, "--key", "alice.json")
    new = tmp_path / "new"
    key = ledger.done("audit", "export", "--tenant", TENANT, "--out", new, "--json").json["log_keys"][0]
    found = ledger.done("audit", "consistency", old, new, "--log-key", key, "--json").json
    assert (found["ok"], found["trust"], found["first_error"]) == (True, "verified", None)
    assert 0 < found["old"]["size"] < found["new"]["size"]
    assert found["proof"]
    assert found["not_checked"]
    kept = tmp_path / "kept.note"
    kept.write_bytes((old / "checkpoint").read_bytes())
    said = ledger.done("audit", "consistency", kept, new).out
    assert said.startswith("ok: self-consistent; origin not authenticated\nOLD  ")
    backwards = ledger.inside("audit", "consistency", new, old, "--json")
    assert backwards.code == 1
    assert (backwards.json["ok"], backwards.json["trust"], backwards.json["proof"]) == (False, "not verified", [])
    assert "a log never shrinks" in backwards.json["first_error"]
    assert backwards.json["checked"] == backwards.json["not_checked"] == []


def test_two_logs_and_what_is_not_there_are_refused_and_said(ledger: Installation, old: Path, tmp_path: Path) -> None:
    ledger.done("audit", "export", "--tenant", "platform", "--out", tmp_path / "platform")
    for pair, says in (((old, tmp_path / "platform"), "two logs"), ((old, tmp_path / "none"), "missing")):
        ended = ledger.inside("audit", "consistency", *pair)
        assert ended.code == 1
        assert ended.out.startswith("NOT OK: not verified\n")
        assert says in ended.out
    assert ledger.inside("audit", "consistency", old).code == 64
    ledger.refused("audit", "consistency", old, old, "--log-key", "nonsense", says="--log-key")


def test_a_second_opinion_is_asked_for_and_told(ledger: Installation, old: Path) -> None:
    found = ledger.done("audit", "verify", old, "--second-opinion", "--json").json
    assert found["second_opinion"] == "merkletools"
    assert found["checked"][-1].startswith("merkletools, a second implementation")
    assert "second_opinion" not in ledger.done("audit", "verify", old, "--json").json
    refused = ledger.inside("audit", "verify", "nowhere", "--second-opinion", "--json").json
    assert (refused["ok"], refused["second_opinion"]) == (False, None)


# An audit that is interrupted


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("long") / "bundle"
    LongLog().write(out, 5_000)
    return out


@pytest.fixture
def _long_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "LONG_LOG", 5_000)
    monkeypatch.setattr(journal, "_EVERY_S", 0.0)
    monkeypatch.setattr(journal, "_SHARE", 0)


def interrupted_at(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let an audit be interrupted, once, as Ctrl-C does it."""
    whole = verify_bundle

    def verify(path: Path, **options: object) -> object:
        def told(done: int) -> None:
            if done >= after:
                monkeypatch.setattr(auditing, "verify_bundle", whole)
                os.kill(os.getpid(), signal.SIGINT)

        return whole(path, **{**options, "progress": told})  # type: ignore[arg-type]

    monkeypatch.setattr(auditing, "verify_bundle", verify)


@pytest.mark.usefixtures("_long_from_here")
@pytest.mark.parametrize("named", [True, False], ids=["--state", "by itself"])
def test_an_interrupted_audit_says_how_to_go_on_and_goes_on(
    ledger: Installation, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    monkeypatch.setitem(ledger.environ, "XDG_STATE_HOME", str(tmp_path / "state"))
    asked = ("audit", "verify", long, "--json", *(("--state", tmp_path / "mine") if named else ()))
    interrupted_at(monkeypatch, 8_000)
    ended = ledger.inside(*asked)
    (line,) = ended.err.splitlines()
    assert ended.code == 130
    assert line.startswith("interrupted; what was found is kept in ")
    state = Path(line.removeprefix("interrupted; what was found is kept in ").partition(": ")[0])
    assert (state / "position").is_file()
    assert state.stat().st_mode & 0o777 == 0o700
    opened: list[int] = []
    whole = verify_bundle
    monkeypatch.setattr(
        auditing, "verify_bundle", lambda path, **options: whole(path, **{**options, "progress": opened.append})
    )
    assert ledger.done(*asked).json["ok"]
    assert min(done for done in opened if done > 5_000) > 8_000
    assert not list(state.iterdir()) if named else not state.exists()


@pytest.mark.usefixtures("_long_from_here")
def test_a_place_for_the_state_is_taken_only_where_it_is_worth_it(
    ledger: Installation, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ledger.environ, "XDG_STATE_HOME", str(tmp_path / "state"))
    ledger.done("audit", "verify", old)
    assert not (tmp_path / "state").exists()


def test_an_export_that_is_interrupted_says_that_it_goes_on(
    ledger: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(auditing, "export_bundle", export)
    ended = ledger.inside("audit", "export", "--tenant", TENANT, "--out", tmp_path / "out")
    assert ended.code == 130
    assert ended.err.splitlines() == [
        f"interrupted; the same command goes on with what is in {tmp_path / '.out.partial'}"
    ]


# The database


def test_the_live_database_is_checked_and_damage_ends_with_1(ledger: Installation) -> None:
    ledger.done("log", "publish")
    found = ledger.done("audit", "fsck", "--json").json
    assert (found["ok"], found["differences"], found["total"], found["first_error"]) == (True, [], 0, None)
    assert len(found["logs"]) >= 3
    assert found["checked"]
    assert found["not_checked"]
    said = ledger.done("audit", "fsck", "--tenant", TENANT).out
    assert said.startswith("ok: no difference was found\n")
    floor = ledger.data / "floors" / found["logs"][-1]["origin"].rpartition("/")[2]
    kept = floor.read_bytes()
    floor.write_bytes(kept[:-5])
    try:
        ended = ledger.inside("audit", "fsck", "--json")
        assert (ended.code, ended.json["ok"]) == (1, False)
        assert ended.json["differences"][0]["table"] == "floors"
        assert "damaged" in ended.json["first_error"]
    finally:
        floor.write_bytes(kept)
    assert ledger.done("audit", "fsck", "--json").json["ok"]
    ledger.refused("audit", "fsck", "--tenant", "NoDAO/DEU", says="")
