"""The catalogue of tampering with bundles: who does what, who finds it, and in which words.

Three hands tamper. A *carrier* has the files and no key: found with nothing from outside. A *stranger* writes all of it
again under keys of his own: found with the log's key. The *operator* writes it again with every true key: found by what
is signed and numbered inside, where the auditor has the streams' keys; else by the rounds of the anchor log, which take
a policy; else by the acknowledgements. Further forgeries of content: tests/audit; of openings: tests/anchoring.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.transparency.anchor_forks import ForkReason
from domain.transparency.tiles import encode_entries
from infrastructure.anchors import making
from infrastructure.audit.acks import hold_acks
from infrastructure.audit.anchored import Expected
from infrastructure.audit.disclosure import KEYS
from infrastructure.audit.forks import check_fork_proof, compare
from infrastructure.keys.plaintext import EntryRecord, encode_record
from infrastructure.publish.places import tiles_of
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verdict import Verification
from tests.anchoring.stage import Stage, staged
from tests.tampering.scene import AT_S, Scene, flipped, gone

Entries = list[bytes]
Change = Callable[[Scene, Entries], Entries]

WORKLOAD, POLICY = 4, 8  # leaf indices: the first event of a workload's stream, and one in the tenant's own


def deleted(_: Scene, entries: Entries) -> Entries:
    return entries[:WORKLOAD] + entries[WORKLOAD + 1 :]


def swapped(_: Scene, entries: Entries) -> Entries:
    return [*entries[:5], entries[6], entries[5], *entries[7:]]  # of one stream


def inserted(_: Scene, entries: Entries) -> Entries:
    return [*entries[:6], entries[5], *entries[6:]]


def truncated(_: Scene, entries: Entries) -> Entries:
    return entries[:-3]


def bit_of_an_entry(_: Scene, entries: Entries) -> Entries:
    return [*entries[:5], entries[5][:-1] + bytes([entries[5][-1] ^ 1]), *entries[6:]]


def from_another_tenant(scene: Scene, entries: Entries) -> Entries:
    return [*entries[:5], scene.entries(scene.bundle_of(scene.neighbour))[3], *entries[6:]]


def from_another_stream(scene: Scene, entries: Entries) -> Entries:
    workload = scene.sealer().read(entries[WORKLOAD]).stream_id
    moved = scene.sealer().seal(workload, scene.sealer().open(entries[POLICY]))
    return [*entries[:POLICY], moved, *entries[POLICY + 1 :]]


def changed_value(scene: Scene, entries: Entries) -> Entries:
    record = scene.sealer().read(entries[POLICY])
    fields = {name: getattr(record, name) for name in ("stream_id", "version", "topic", "at_ms")}
    other = EntryRecord(**fields, event={**record.event, "policy": {"rules": []}})
    return [*entries[:POLICY], scene.sealer().seal(record.stream_id, encode_record(other)), *entries[POLICY + 1 :]]


def _file(scene: Scene) -> Path:
    return Path(f"tile/entries/000.p/{len(scene.entries())}")


CARRIED: dict[str, tuple[Change, str]] = {
    "a flipped bit": (bit_of_an_entry, "entry 5 does not give its leaf hash in tile/0/000.p/15"),
    "a deleted entry": (deleted, "the bundle ends within entry 14 of 15"),
    "swapped entries": (swapped, "entry 5 does not give its leaf hash in tile/0/000.p/15"),
    "an inserted entry": (inserted, r"\d+ bytes follow the last entry"),
    "truncated entries": (truncated, "the bundle ends within entry 12 of 15"),
    "an entry of another tenant": (from_another_tenant, "entry 5: entry 5 was sealed for another log"),
    "an entry moved to another stream": (from_another_stream, "entry 8 does not give its leaf hash in tile/0/000.p/15"),
    "a changed value": (changed_value, "entry 8 does not give its leaf hash in tile/0/000.p/15"),
}


@pytest.mark.parametrize("what", CARRIED)
def test_entries_that_were_changed_on_the_way_are_found_without_any_key(scene: Scene, what: str) -> None:
    change, words = CARRIED[what]
    bundle = scene.copy(scene.disclosed)
    (bundle / _file(scene)).write_bytes(encode_entries(change(scene, scene.entries())))
    refused(scene.alone(bundle), rf"{_file(scene)}: {words}")


WRITTEN_AGAIN: dict[str, tuple[Change, str]] = {
    "a flipped bit": (bit_of_an_entry, "entry 5: sealed bytes were changed"),
    "a deleted entry": (deleted, r"entry 4: version 1 of stream [0-9a-f-]{36}, where 0 is next"),
    "swapped entries": (swapped, r"entry 5: version 2 of stream [0-9a-f-]{36}, where 1 is next"),
    "an inserted entry": (inserted, r"entry 6: version 1 of stream [0-9a-f-]{36}, where 2 is next"),
    "an entry of another tenant": (from_another_tenant, r".*entry 5 was sealed for another log"),
    "an entry moved to another stream": (from_another_stream, "entry 8: .*stream"),
    "a changed value under an intact hash chain": (changed_value, "entry 8: .*"),
}


@pytest.mark.parametrize("what", WRITTEN_AGAIN)
def test_a_history_that_the_operator_wrote_again_is_found_by_what_is_disclosed(scene: Scene, what: str) -> None:
    change, words = WRITTEN_AGAIN[what]
    refused(scene.with_key(scene.rewritten(change(scene, scene.entries()))), words)


@pytest.mark.parametrize("change", [bit_of_an_entry, deleted, swapped, inserted, from_another_stream, changed_value])
def test_a_sealed_history_that_the_operator_wrote_again_is_found_by_the_rounds(scene: Scene, change: Change) -> None:
    bundle = scene.rewritten(change(scene, scene.entries(scene.sealed)), disclosed=False)
    assert scene.with_key(bundle).ok, "only the anchors can tell"
    origin = scene.stage.log().origin
    refused(scene.with_policy(bundle), rf"fork of {origin}: .* \(round \d+: size \d+, .*signed checkpoint: size \d+, ")


def test_a_truncated_history_is_found_by_the_rounds_and_proved_by_the_acknowledgements(scene: Scene) -> None:
    bundle = scene.rewritten(truncated(scene, scene.entries(scene.sealed)), disclosed=False)
    refused(scene.with_policy(bundle), "truncated or rolled back: 3 rounds hold more entries than this bundle's 11")
    verdict, report = hold_acks(bundle, scene.with_key(bundle), scene.acks, covered_round=20)
    assert report is not None
    assert {one.leaf_index for one in report.lost} == {11, 12, 13, 14}
    refused(verdict, r".*: lost write: leaf 11, .*: round 20 has passed, and the log ends at size 11")


def refused(verdict: Verification, words: str) -> None:
    """Check that a bundle is refused in these words, and that nothing is said to be checked."""
    assert (verdict.ok, verdict.trust, verdict.checked) == (False, "not verified", ())
    assert re.match(words, verdict.first_error or ""), verdict.first_error


def _with_checkpoint(change: Callable[[Scene, bytes], bytes]) -> Callable[[Scene], Path]:
    def made(scene: Scene) -> Path:
        bundle = scene.copy(scene.disclosed)
        (bundle / "checkpoint").write_bytes(change(scene, (bundle / "checkpoint").read_bytes()))
        return bundle

    return made


def _lines_without(number: int) -> Callable[[Scene, bytes], bytes]:
    def change(_: Scene, note: bytes) -> bytes:
        lines = note.splitlines(keepends=True)
        return b"".join(lines[:number] + lines[number + 1 :])

    return change


def _stranger(scene: Scene) -> LogSigner:
    return LogSigner.from_seeds(scene.signer.name, b"x" * 32, b"y" * 32)


def _signed_by_a_stranger(scene: Scene, note: bytes) -> bytes:
    return _stranger(scene).sign_checkpoint(note.partition(b"\n\n")[0] + b"\n", AT_S)


def _false_key(scene: Scene) -> Path:
    document = json.loads((scene.disclosed / KEYS).read_bytes())
    document["streams"][0]["key"] = "0" * 64
    keys = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return scene.rewritten(scene.entries(), keys=keys)


def _swapped_keys(scene: Scene) -> Path:
    document = json.loads((scene.disclosed / KEYS).read_bytes())
    one, other = document["streams"][:2]
    one["key"], other["key"] = other["key"], one["key"]
    keys = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return scene.rewritten(scene.entries(), keys=keys)


CHECKPOINTS: dict[str, tuple[Callable[[Scene], Path], str]] = {
    "a relabelled size": (
        _with_checkpoint(lambda _, note: note.replace(b"\n15\n", b"\n14\n")),
        "checkpoint: the signature of Ed25519 sha256:[0-9a-f]{64} is wrong",
    ),
    "a checkpoint of another tenant": (
        _with_checkpoint(lambda scene, _: (scene.bundle_of(scene.neighbour) / "checkpoint").read_bytes()),
        "log.vkey: not an Ed25519 and an ML-DSA-44 key that carry the checkpoint's origin",
    ),
    "an older checkpoint of the same log": (
        _with_checkpoint(lambda scene, _: (scene.sealed / "checkpoint").read_bytes()),
        "manifest.note: it is not of this origin and size",
    ),
    "a stripped Ed25519 signature": (
        _with_checkpoint(_lines_without(4)),
        "checkpoint: signature stripped: none by Ed25519 ",
    ),
    "a stripped ML-DSA-44 signature": (
        _with_checkpoint(_lines_without(5)),
        "checkpoint: signature stripped: none by ML-DSA-44 ",
    ),
    "a foreign signature beside the log's": (
        _with_checkpoint(lambda scene, note: note + _signed_by_a_stranger(scene, note).splitlines(keepends=True)[4]),
        "checkpoint: it has a signature line that is not of the log's current keys",
    ),
    "a foreign signature in the place of the log's": (
        _with_checkpoint(_signed_by_a_stranger),
        "checkpoint: signature stripped: none by Ed25519 ",
    ),
    "a false data key": (_false_key, "(entry 0: .*|keys.json: .*)"),
    "the data keys of two streams swapped": (_swapped_keys, "(entry 0: .*|keys.json: .*)"),
}


@pytest.mark.parametrize("what", CHECKPOINTS)
def test_a_checkpoint_or_key_that_is_not_the_logs_is_found_without_any_key(scene: Scene, what: str) -> None:
    made, words = CHECKPOINTS[what]
    refused(scene.alone(made(scene)), words)


def test_everything_written_again_under_a_strangers_keys_needs_the_logs_key_and_is_found_with_it(scene: Scene) -> None:
    bundle = scene.rewritten(scene.entries(), signer=_stranger(scene))
    assert scene.alone(bundle).trust == "self-consistent; origin not authenticated"
    refused(scene.with_key(bundle), "log.vkey: the key given from outside, Ed25519 sha256:[0-9a-f]{64}, is not in it")
    refused(scene.with_policy(bundle), "log.vkey: the key given from outside, ")


@pytest.mark.parametrize(
    ("change", "reason"), [(swapped, ForkReason.TWO_ROOTS), (inserted, ForkReason.NOT_A_PREFIX)]
)  # fmt: skip
def test_two_histories_for_two_auditors_are_a_fork_that_can_be_proved(
    scene: Scene, change: Change, reason: ForkReason
) -> None:
    shown = [
        scene.rewritten(entries, disclosed=False, anchored=False)
        for entries in (scene.entries(scene.sealed), change(scene, scene.entries(scene.sealed)))
    ]
    assert all(scene.with_key(bundle).ok for bundle in shown), "each history is whole by itself"
    found = compare(shown[0], shown[1], scene.stage.expected())
    assert found.fork is not None
    assert found.fork.origin == scene.stage.log().origin
    proof = scene.copy(scene.sealed) / "proof"
    proof.write_bytes(found.fork.to_bytes())
    assert check_fork_proof(proof, Expected(scene.stage.expected().policy)) == (found.fork, reason)


def test_a_history_that_was_rolled_back_in_the_rounds_is_found_and_its_round_named(
    conninfo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with staged(tmp_path, conninfo) as stage:
        _roll_back(stage, monkeypatch)
        verdict, _ = stage.verify(stage.export())
        refused(verdict, r"fork of .*: a later round has a smaller tree \(round 1: size 4, .*; round 2: size 3, ")


def _roll_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the operator commit in round 2 to an older checkpoint than in round 1."""
    checkpoint = tiles_of(stage.ledger, stage.log()).path / "checkpoint"
    stage.turn()
    older = checkpoint.read_bytes()
    stage.grow()
    stage.turn()
    checkpoint.write_bytes(older)
    monkeypatch.setattr(making, "_follows", lambda *_: True)
    stage.turn(publish=False)


@settings(max_examples=min(settings.default.max_examples, 2000) if settings.default else 60)
@given(data=st.data())
def test_every_bit_of_every_file_counts_and_its_file_is_named(scene: Scene, data: Any) -> None:
    """No bit of a bundle of ours is free: what no signature covers directly, the manifest covers."""
    files = sorted(path.relative_to(scene.disclosed) for path in scene.disclosed.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    bit = data.draw(st.integers(0, (scene.disclosed / path).stat().st_size * 8 - 1))
    bundle = scene.copy(scene.disclosed)
    flipped(bundle / path, bit)
    refused(scene.alone(bundle), rf".*{re.escape(str(path))}")
    gone(bundle)
