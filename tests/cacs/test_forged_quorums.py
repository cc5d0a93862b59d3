"""What the operator can't write of quorums into a history unnoticed: a divergence that was none, or another one."""

from pathlib import Path
from typing import Any

import pytest

from domain.cacs.events import QuorumFailed, QuorumReached
from domain.executions.events import NoticeRequested
from domain.identifiers import stream_of
from tests.audit.past import Past, past_of, refused
from tests.cacs.conftest import Scene


@pytest.fixture(scope="module")
def past(scene: Scene) -> Past:
    """The log of the tenant whose enclaves agreed once and diverged once."""
    return past_of(scene.cell, scene.member.log_id, scene.member.admins)


def diverged(past: Past) -> QuorumFailed:
    event = past.of("cac.quorum_failed.v1").event
    assert isinstance(event, QuorumFailed)
    assert event.results is not None
    return event


def test_the_history_itself_verifies_with_and_without_what_the_first_release_did_not_tell(
    past: Past, tmp_path: Path
) -> None:
    assert past.verdict(tmp_path / "told").ok
    entry = past.of("cac.quorum_failed.v1")
    silent = entry.event.model_copy(update={"results": None, "differing": None}).payload()
    sealed = past.seal(entry.stream_id, entry.version, entry.event.TOPIC, silent, entry.at_ms)
    entries = [*past.entries[: entry.leaf_index], sealed, *past.entries[entry.leaf_index + 1 :]]
    assert past.verdict(tmp_path / "silent", entries).ok


@pytest.mark.parametrize(
    "case", ["one differs", "nobody", "others", "results", "alike", "order", "cacs", "fault", "half"]
)
def test_a_divergence_told_otherwise_is_found(past: Past, tmp_path: Path, case: str) -> None:
    entry, event = past.of("cac.quorum_failed.v1"), diverged(past)
    given = event.payload()["results"]
    alike = [{**one, "output_commitment": given[0]["output_commitment"]} for one in given]
    changes: dict[str, dict[str, Any]] = {
        "one differs": {"differing": [given[0]["execution_id"]]},
        "nobody": {"differing": []},
        "others": {"differing": [given[1]["execution_id"], given[0]["execution_id"]]},
        "results": {"results": [{**given[0], "output_commitment": "0" * 64}, given[1]]},
        "alike": {"results": alike},
        "order": {"results": given[::-1], "differing": [one["execution_id"] for one in given[::-1]]},
        "cacs": {"cacs": list(event.cacs[::-1])},
        "fault": {"reason": "fault"},
        "half": {"results": None},
    }
    content = {name: value for name, value in {**event.payload(), **changes[case]}.items() if value is not None}
    sealed = past.seal(entry.stream_id, entry.version, entry.event.TOPIC, content, entry.at_ms)
    entries = [*past.entries[: entry.leaf_index], sealed, *past.entries[entry.leaf_index + 1 :]]
    refused(past.verdict(tmp_path / "forged", entries), entry=entry.leaf_index)


def test_a_divergence_of_enclaves_that_agreed_is_found(past: Past, tmp_path: Path) -> None:
    entry = past.of("cac.quorum_reached.v1")
    assert isinstance(entry.event, QuorumReached)
    members = {name: value for name, value in dict(entry.event).items() if name in QuorumFailed.model_fields}
    before = past.until(past.history[entry.leaf_index - 1])
    forged = before.then((entry.stream_id, QuorumFailed(**members, reason="divergence")))
    refused(before.verdict(tmp_path / "forged", forged), "do not differ", entry=entry.leaf_index)


def test_a_notice_of_a_divergence_that_was_none_is_found(past: Past, tmp_path: Path) -> None:
    (one, *_) = diverged(past).results or ()
    entry = past.of("cac.quorum_failed.v1")
    notice = NoticeRequested(execution_id=one.execution_id, recipient="court", kind="divergence")
    before, after = past.until(past.history[entry.leaf_index - 1]), past.until(entry)
    stream = stream_of(one.execution_id)
    assert after.verdict(tmp_path / "after", after.then((stream, notice))).ok
    refused(before.verdict(tmp_path / "before", before.then((stream, notice))), "divergence that the log does not have")
