"""A bundle that discloses only some streams neither fails nor claims to have checked what it could not."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cacs.events import CacIssued
from domain.executions.events import ExecutionReserved
from domain.identifiers import stream_of
from infrastructure.audit.disclosure import KEYS, keys_document
from infrastructure.audit.verify import verify_bundle
from infrastructure.keys.plaintext import decode_record, encode_record
from infrastructure.keys.sealing import DataKey, Sealer
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verdict import Verification
from tests.audit.past import AT_S, Past, refused, without
from tests.commands.cell import ENTROPY

RUNS = ["done", "held", "again", "refused", "late"]


def parts(past: Past, run: str) -> dict[str, UUID]:
    """Return the streams that a run has to do with: the log's own, workload, execution, and CAC."""
    reserved = past.of("execution.reserved.v1", execution_id=past.runs[run]).event
    assert isinstance(reserved, ExecutionReserved)
    ids = {"workload": reserved.workload_id, "execution": reserved.execution_id, "cac": reserved.cac_id}
    return {"own": past.streams()[0], **{name: stream_of(one) for name, one in ids.items()}}


def verified(past: Past, out: Path, streams: list[UUID]) -> Verification:
    """Verify with the keys of these streams; nothing is refused, and what stayed sealed is said."""
    verdict = past.verdict(out, streams=streams)
    assert (verdict.ok, verdict.first_error) == (True, None)
    hidden = sum(item.stream_id not in streams for item in past.history)
    told = f"plaintext of {hidden} entries whose stream keys were not disclosed"
    assert (told in verdict.not_checked) == (hidden > 0)
    opened = f"plaintext of {len(past.history) - hidden} disclosed entries"
    assert any(text.startswith(opened) for text in verdict.checked)
    return verdict


@pytest.mark.parametrize("run", RUNS)
def test_every_choice_of_a_runs_streams_verifies(past: Past, tmp_path: Path, run: str) -> None:
    named = parts(past, run)
    for count in range(len(named) + 1):
        for chosen in combinations(named, count):
            verified(past, tmp_path / "-".join((run, *chosen)), [named[name] for name in chosen])


@pytest.mark.parametrize("run", RUNS)
def test_every_choice_of_streams_to_keep_back_verifies(past: Past, tmp_path: Path, run: str) -> None:
    named = parts(past, run)
    for name, stream in named.items():
        verified(past, tmp_path / name, without(past.streams(), stream))


@settings(max_examples=settings().max_examples // 3)
@given(data=st.data())
def test_any_choice_of_streams_verifies(
    past: Past, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    streams = past.streams()
    chosen = data.draw(st.lists(st.sampled_from(streams), unique=True))
    verified(past, tmp_path_factory.mktemp("some") / "bundle", chosen)


def test_without_the_logs_own_stream_signatures_by_enrolled_keys_are_not_claimed(past: Past, tmp_path: Path) -> None:
    verdict = verified(past, tmp_path / "b", without(past.streams(), past.streams()[0]))
    assert not any("enrolled key" in text for text in verdict.checked), verdict.checked
    assert any("the log's own stream was not disclosed" in text for text in verdict.not_checked)
    assert any(text.startswith("6 CACs: every member") for text in verdict.checked), verdict.checked


def test_a_cac_without_its_execution_is_checked_by_itself_and_the_verdict_says_so(past: Past, tmp_path: Path) -> None:
    named = parts(past, "done")
    for chosen in (["cac"], ["own", "cac"]):
        verdict = verified(past, tmp_path / "-".join(chosen), [named[name] for name in chosen])
        assert any(text.startswith("1 CACs by themselves only") for text in verdict.checked), verdict.checked
        assert any("the execution's stream was not disclosed" in text for text in verdict.not_checked)


@pytest.mark.parametrize(
    ("chosen", "change"),
    [
        (["cac"], {"nonce": "0" * 64}), (["cac"], {"report_data": "0" * 128}), (["cac"], {"scope": "h/t/1"}),
        (["cac"], {"limits": {}}), (["cac"], {"host": 7}), (["cac"], {"tenant_info": []}),
        (["cac"], {"workload": "wl-0x" + "0" * 32}), (["cac"], {"clause_id": "UNDRR::Disaster::Flood@0.1.0"}),
        (["own", "cac"], {"tenant_info": {"dao": "VictimDAO", "jurisdiction": "KEN"}}),
        (["own", "cac"], {"certificate": "x"}), (["own", "cac"], {"evidence_digest": "0" * 64}),
        (["execution", "cac"], {"outcome": "FAIL"}), (["execution", "cac"], {"evidence_entry": "0" * 64}),
        (["own", "execution", "cac"], {"tenant_info": {"dao": "VictimDAO"}}),
    ],
)  # fmt: skip
def test_a_false_cac_is_found_with_what_is_disclosed(
    past: Past, tmp_path: Path, chosen: list[str], change: dict[str, object]
) -> None:
    entry = past.of("cac.issued.v1", execution_id=past.runs["done"])
    assert isinstance(entry.event, CacIssued)
    document = {name: value for name, value in entry.event.document.items() if name != "proof"}
    signed = past.drivers["done"].signed({**document, **change})
    named = parts(past, "done")
    verdict = past.verdict(tmp_path / "b", past.altered(entry, document=signed), streams=[named[one] for one in chosen])
    refused(verdict, entry=entry.leaf_index)


def test_what_is_disclosed_may_not_leave_out_what_it_rests_on(past: Past, tmp_path: Path) -> None:
    """The key of the execution's stream came along, so its entries must be there: nothing hides behind sealed ones."""
    named = parts(past, "done")
    kept = [
        entry for entry, item in zip(past.entries, past.history, strict=True) if item.stream_id != named["execution"]
    ]
    hidden = parts(past, "held")["execution"]
    refused(past.verdict(tmp_path / "b", kept, streams=without(past.streams(), hidden)), "not in the log before it")


# Two generations of the data key


def second_generation(past: Past, first: int) -> tuple[list[bytes], Sealer]:
    """Return the entries with the log's own stream under a new data key from a leaf index on."""
    newer = Sealer(past.tenant.origin, DataKey.create(1, ENTROPY), ENTROPY)
    entries = list(past.entries)
    for item in past.history[first:]:
        if item.stream_id == past.streams()[0]:
            record = decode_record(past.sealer.open(entries[item.leaf_index]))
            entries[item.leaf_index] = newer.seal(item.stream_id, encode_record(record))
    return entries, newer


@pytest.mark.parametrize(
    ("older", "newer", "whole"), [(True, True, True), (True, False, None), (False, True, False), (False, False, False)]
)
@pytest.mark.parametrize("cut", [1, 4, 60])
def test_the_own_stream_in_two_generations_is_disclosed_whole_or_counts_as_sealed(
    past: Past, tmp_path: Path, cut: int, older: bool, newer: bool, whole: bool | None
) -> None:
    """Its beginning alone (None) is refused: nobody could tell entries of later generations from junk."""
    entries, sealer = second_generation(past, cut)
    own = past.streams()[0]
    others = [one.stream_key(stream) for one in (past.sealer, sealer) for stream in past.streams() if stream != own]
    mine = [one.stream_key(own) for one, told in ((past.sealer, older), (sealer, newer)) if told]
    document = keys_document(past.tenant.origin, [*others, *mine])
    signer = LogSigner.from_seeds(past.tenant.origin, b"e" * 32, b"m" * 32)
    out = tmp_path / "b"
    write_bundle(entries, size=len(entries), signer=signer, at_unix_s=AT_S, out=out, extra=[(KEYS, document)])
    verdict = verify_bundle(out)
    if whole is None:
        refused(verdict)
        return
    assert (verdict.ok, verdict.first_error) == (True, None)
    assert any("not disclosed" in text for text in verdict.not_checked) != whole


def test_a_gap_that_no_other_generation_explains_is_refused(past: Past, tmp_path: Path) -> None:
    left_out: Callable[[int], list[bytes]] = lambda at: [*past.entries[:at], *past.entries[at + 1 :]]  # noqa: E731 - one line
    own = [item.leaf_index for item in past.history if item.stream_id == past.streams()[0]]
    refused(past.verdict(tmp_path / "b", left_out(own[2])), "is next")
