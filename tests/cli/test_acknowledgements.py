"""A person hands something in, keeps what was acknowledged, and holds the log to it."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import EXAMPLES, TENANT, Installation

FLOOD = EXAMPLES / "flood.submission.json"
SUBMIT = ("--tenant", TENANT, "--key", "alice.json")


def test_what_a_command_stored_is_acknowledged_in_its_answer_and_in_files_that_the_exported_log_must_hold(
    ledger: Installation, tmp_path: Path
) -> None:
    acks = tmp_path / "acks"
    row = ledger.run("submit", FLOOD, *SUBMIT, "--ack", acks, "--json").json
    assert row["status"] == "done"
    told = row["acknowledgements"]
    assert told
    assert len({one["object"]["jti"] for one in told}) == 1  # of this statement; the decider's events are not its own
    files = [json.loads(path.read_bytes()) for path in acks.iterdir()]
    first, second = (sorted(found, key=lambda one: one["object"]["leaf_index"]) for found in (files, told))
    assert first == second
    waits = ledger.run("submit", FLOOD, *SUBMIT, "--no-run", "--ack", acks, "--json").json
    ledger.run("cancel", waits["workload"], *SUBMIT, "--ack", acks, "--json")
    bundle = tmp_path / "bundle"
    ledger.run("audit", "export", "--tenant", TENANT, "--out", bundle)
    verdict = ledger.run("audit", "verify", bundle, "--acks", acks, "--json").json
    found = len(list(acks.iterdir()))
    assert verdict["acks"] == {"found": found, "not_due": 0, "untold": 0, "lost": [], "refused": []}
    assert verdict["acks"]["found"] > len(told)


def test_acknowledgements_that_can_not_be_written_say_that_the_rest_is_stored(
    ledger: Installation, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    ended = ledger.run("submit", FLOOD, *SUBMIT, "--no-run", "--ack", tmp_path / "taken", code=69)
    assert "what was asked is stored" in ended.err


@pytest.mark.parametrize("directory", ["missing", "empty"])
def test_a_directory_without_acknowledgements_is_a_mistake(
    ledger: Installation, tmp_path: Path, directory: str
) -> None:
    (tmp_path / "empty").mkdir()
    ledger.run("audit", "export", "--tenant", TENANT, "--out", tmp_path / "bundle")
    ended = ledger.run("audit", "verify", tmp_path / "bundle", "--acks", tmp_path / directory, code=1)
    assert directory in ended.err
