"""Exported histories: what verifies, what does not after any change, and what a verdict admits not to know."""

import json
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ConflictError, LedgerError, MalformedError, UnknownError
from domain.tenants.events import KeyDisclosed
from infrastructure.audit.disclosure import KEYS, read_keys
from infrastructure.audit.export import export_bundle, log_signer
from infrastructure.audit.replay import replay_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.commands.loading import find_log
from infrastructure.keys.keyring import LogKind
from infrastructure.keys.log_keys import create_log_keys
from infrastructure.keys.plaintext import EntryRecord, decode_record, encode_record
from infrastructure.keys.sealing import Sealer, open_with_stream_keys
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.reader import read_entries
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verdict import Verification
from tests.audit.conftest import Scene
from tests.commands.cell import ENTROPY

AT_S = 1_700_000_100
SELF_CONSISTENT = "self-consistent; origin not authenticated"


def test_the_bundle_of_every_log_verifies_by_itself_and_is_authentic_only_with_a_key_from_outside(
    scene: Scene, tmp_path: Path
) -> None:
    for number, log in enumerate(scene.cell.ledger.logs()):
        if not scene.cell.ledger.head(log.log_id).size:
            continue
        for with_keys in (None, "all"):
            out = tmp_path / f"{number} {with_keys}"
            checkpoint = export_bundle(scene.cell.ledger, log.log_id, out, with_keys=with_keys)
            verdict = verify_bundle(out)
            assert (verdict.ok, verdict.trust, verdict.first_error) == (True, SELF_CONSISTENT, None), log.origin
            assert (verdict.origin, verdict.size) == (log.origin, checkpoint.size)
            vkeys = [str(key) for key in log_signer(scene.cell.ledger, log.log_id).verifier_keys()]
            for given in (vkeys, vkeys[:1], vkeys[1:]):
                known = verify_bundle(out, log_keys=given)
                assert known.ok
                assert known.trust.startswith("verified"), known.trust


def test_a_verdict_says_what_was_checked_and_what_was_not(scene: Scene) -> None:
    verdict = verify_bundle(scene.bundle)
    assert any(text.startswith(f"plaintext of {verdict.size} disclosed entries") for text in verdict.checked)
    assert any(text.startswith("2 CACs:") for text in verdict.checked)
    assert any("not independently witnessed" in text for text in verdict.not_checked)
    assert any("node reports" in text for text in verdict.not_checked)


def files_of(bundle: Path) -> list[str]:
    """Return a bundle's files."""
    return sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file())


@pytest.mark.parametrize("where", [0.0, 0.3, 0.7, 1.0])
def test_a_flipped_bit_in_any_file_is_found_and_its_place_named(scene: Scene, tmp_path: Path, where: float) -> None:
    for name in files_of(scene.bundle):
        copy = tmp_path / name.replace("/", "_")
        shutil.copytree(scene.bundle, copy)
        data = bytearray((copy / name).read_bytes())
        data[round(where * (len(data) - 1))] ^= 1
        (copy / name).write_bytes(data)
        verdict = verify_bundle(copy)
        assert not verdict.ok, name
        assert verdict.first_error, name
        assert not verify_bundle(copy, log_keys=[scene.vkey]).ok


def test_an_added_or_removed_file_is_found_and_named(scene: Scene, tmp_path: Path) -> None:
    for name in files_of(scene.bundle):
        copy = tmp_path / name.replace("/", "_")
        shutil.copytree(scene.bundle, copy)
        (copy / name).unlink()
        assert not verify_bundle(copy).ok, name
    for name in ("notes.txt", "tile/notes", "tile/0/001", "keys2.json", "tile/entries/000.p/1"):
        copy = tmp_path / f"with {name.replace('/', '_')}"
        shutil.copytree(scene.bundle, copy)
        (copy / name).parent.mkdir(exist_ok=True, parents=True)
        (copy / name).write_bytes(b"x")
        verdict = verify_bundle(copy)
        assert not verdict.ok, name
        assert name in (verdict.first_error or ""), verdict.first_error


# Histories written again by whoever holds the log's keys, or others


def rewritten(scene: Scene, out: Path, entries: Iterable[bytes], **files: bytes | None) -> Verification:
    """Write a bundle of other entries, signed by the log's true keys; return what its verification says."""
    kept = list(entries)
    extra = {KEYS: (scene.bundle / KEYS).read_bytes(), **{name.replace("_", "."): files[name] for name in files}}
    present = {name: data for name, data in extra.items() if data is not None}
    signer = log_signer(scene.cell.ledger, scene.member.log_id)
    write_bundle(kept, size=len(kept), signer=signer, at_unix_s=AT_S, out=out, extra=present.items())
    return verify_bundle(out, log_keys=[scene.vkey])


def sealer(scene: Scene) -> Sealer:
    """Return a sealer with the log's true data key."""
    keys = scene.cell.ledger.keyring.get(scene.member.log_id)
    return Sealer(scene.member.tenant.origin, keys.data_key, ENTROPY)


def places_of(scene: Scene, stream: Any) -> list[int]:
    """Return a stream's leaf indices."""
    return [item.leaf_index for item in scene.cell.history(scene.member) if item.stream_id == stream]


def original(scene: Scene) -> list[bytes]:
    """Return the bundle's entries."""
    return list(read_entries(scene.bundle))


def resealed(scene: Scene, index: int, **changes: Any) -> list[bytes]:
    """Return the entries with one sealed again after its plaintext was changed, under its own stream's key."""
    entries = original(scene)
    record = sealer(scene).read(entries[index])
    fields = {
        "stream_id": record.stream_id, "version": record.version, "topic": record.topic, "at_ms": record.at_ms,
        "event": record.event, **changes,
    }  # fmt: skip
    entries[index] = sealer(scene).seal(record.stream_id, encode_record(EntryRecord(**fields)))
    return entries


def _swapped(scene: Scene) -> list[bytes]:
    entries, places = original(scene), places_of(scene, scene.member.log_id)
    entries[places[1]], entries[places[2]] = entries[places[2]], entries[places[1]]
    return entries


def _left_out(scene: Scene) -> list[bytes]:
    entries = original(scene)
    del entries[places_of(scene, scene.member.log_id)[2]]
    return entries


def _doubled(scene: Scene) -> list[bytes]:
    entries = original(scene)
    return [*entries, entries[5]]


def _moved_to_another_stream(scene: Scene) -> list[bytes]:
    entries, (place, *_) = original(scene), places_of(scene, scene.member.log_id)
    other = scene.cell.history(scene.member)[6]
    assert other.stream_id != scene.member.log_id
    entries[place] = sealer(scene).seal(other.stream_id, sealer(scene).open(entries[place]))
    return entries


def _unknown_topic(scene: Scene) -> list[bytes]:
    return resealed(scene, 3, topic="os.system.v1")


def _another_shape(scene: Scene) -> list[bytes]:
    return resealed(scene, 3, event={})


def _another_version(scene: Scene) -> list[bytes]:
    return resealed(scene, 3, version=9)


def _changed(topic: str, **changes: Any) -> Callable[[Scene], list[bytes]]:
    def change(scene: Scene) -> list[bytes]:
        found = next(item for item in scene.cell.history(scene.member) if topic == item.event.TOPIC)
        return resealed(scene, found.leaf_index, event={**found.event.payload(), **changes})

    return change


BOUNDS = {"memory_bytes": 65_536, "fuel": 1, "wall_ms": 1}

FORGERIES: dict[str, Callable[[Scene], list[bytes]]] = {
    "two events of a stream swapped": _swapped,
    "an event left out": _left_out,
    "an event doubled": _doubled,
    "an event moved to another stream": _moved_to_another_stream,
    "a topic that nobody knows": _unknown_topic,
    "an event of another shape": _another_shape,
    "another version": _another_version,
    "a submission with other bounds": _changed("workload.submitted.v1", bounds=BOUNDS),
    "a submission with another digest": _changed("workload.submitted.v1", submission_digest="0" * 64),
    "another policy": _changed("tenant.policy_adopted.v1", policy={"rules": []}),
    "another threshold": _changed("tenant.registered.v1", threshold=2),
    "another attestation key": _changed("tenant.registered.v1", attestation_key="0" * 64),
    "another credential": _changed("tenant.endorsed.v1", credential={}),
    "another role": _changed("tenant.principal_enrolled.v1", role="admin"),
    "another enclave key": _changed("execution.evidence_appraised.v1", cac_key="0" * 64),
    "another digest of the evidence": _changed("execution.evidence_appraised.v1", evidence_digest="0" * 64),
    "other bounds of a retry": _changed("execution.retry_authorized.v1", bounds=BOUNDS),
    "no CAC in the CAC's place": _changed("cac.issued.v1", document={}),
    "a CAC of another execution": _changed("cac.issued.v1", execution_id="exec-0x" + "0" * 32),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_history_that_the_operator_wrote_again_with_all_true_keys_is_found(
    scene: Scene, tmp_path: Path, forgery: str
) -> None:
    forged = FORGERIES[forgery](scene)
    verdict = rewritten(scene, tmp_path / "forged", forged)
    assert not verdict.ok
    assert verdict.checked == ()
    named = re.search(r"entry (\d+)", verdict.first_error or "")
    assert named is not None, verdict.first_error
    changed = [at for at, (old, new) in enumerate(zip(original(scene), forged, strict=False)) if old != new]
    assert int(named.group(1)) >= min(changed, default=0), verdict.first_error


def test_the_same_history_written_again_verifies(scene: Scene, tmp_path: Path) -> None:
    assert rewritten(scene, tmp_path / "again", original(scene)).ok
    assert rewritten(scene, tmp_path / "resealed", resealed(scene, 3)).ok


def keys_with(scene: Scene, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """Return keys.json after a change, canonical again."""
    document = json.loads((scene.bundle / KEYS).read_bytes())
    changed = change(document)
    return json.dumps(document if changed is None else changed, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(origin="ledger.example/t/0"), lambda d: d.update(format="other"), lambda d: d.update(x=1),
        lambda d: d["streams"][0].update(key="0" * 64), lambda d: d["streams"][0].update(key="0"),
        lambda d: d["streams"][0].update(tag="0" * 31), lambda d: d["streams"][0].update(generation="0"),
        lambda d: d["streams"][0].update(stream="x"), lambda d: d["streams"].reverse(), lambda d: d.pop("streams"),
        lambda d: d["streams"].append(d["streams"][0]), lambda d: d["streams"][0].update(extra=1),
        lambda d: d["streams"][0].update(stream=d["streams"][1]["stream"]), lambda _: [], lambda _: 7,
        lambda d: d["streams"][0].update(stream=d["streams"][0]["stream"].upper()),
        lambda d: d["streams"][0].update(key=d["streams"][0]["key"].upper()),
    ],
)  # fmt: skip
def test_a_wrong_keys_file_fails_the_bundle_and_never_the_program(
    scene: Scene, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    verdict = rewritten(scene, tmp_path / "keys", original(scene), keys_json=keys_with(scene, change))
    assert not verdict.ok
    assert verdict.first_error


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b' {"a":1}', b"null"])
def test_a_keys_file_that_is_none_fails_the_bundle(scene: Scene, tmp_path: Path, data: bytes) -> None:
    verdict = rewritten(scene, tmp_path / "keys", original(scene), keys_json=data)
    assert not verdict.ok
    assert "keys.json" in (verdict.first_error or "")


@pytest.mark.parametrize("sealed_again", [True, False])
def test_a_bundle_forged_with_fresh_keys_is_self_consistent_and_fails_with_the_right_key(
    scene: Scene, tmp_path: Path, *, sealed_again: bool
) -> None:
    """Forged by a stranger: fresh log keys, and either the true entries or ones sealed under a fresh data key."""
    origin = scene.member.tenant.origin
    keys = create_log_keys(scene.member.log_id, ENTROPY, LogKind.TENANT)
    own, true = Sealer(origin, keys.data_key, ENTROPY), sealer(scene)
    entries, extra = original(scene), {KEYS: (scene.bundle / KEYS).read_bytes()}
    if sealed_again:
        records = [decode_record(true.open(entry)) for entry in entries]
        entries, extra = [own.seal(record.stream_id, encode_record(record)) for record in records], {}
    signer = LogSigner(origin, keys.ed25519_key(), keys.mldsa44_key())
    out = tmp_path / "forged"
    write_bundle(entries, size=len(entries), signer=signer, at_unix_s=AT_S, out=out, extra=extra.items())
    verdict = verify_bundle(out)
    assert (verdict.ok, verdict.trust) == (True, SELF_CONSISTENT)
    assert verdict.fingerprints != verify_bundle(scene.bundle).fingerprints
    known = verify_bundle(out, log_keys=[scene.vkey])
    assert not known.ok
    assert known.first_error


def test_a_key_that_was_stripped_from_the_signatures_is_missed(scene: Scene, tmp_path: Path) -> None:
    copy = tmp_path / "stripped"
    shutil.copytree(scene.bundle, copy)
    lines = (copy / "checkpoint").read_text().splitlines(keepends=True)
    (copy / "checkpoint").write_text("".join(lines[:-1]))
    assert not verify_bundle(copy).ok


# Disclosure


def test_disclosing_one_stream_opens_that_one_and_no_other(scene: Scene, tmp_path: Path) -> None:
    before = len(scene.cell.history(scene.member))
    out = tmp_path / "one"
    export_bundle(scene.cell.ledger, scene.member.log_id, out, with_keys=scene.workload, recipient="an insurer")
    origin, keys = read_keys(out)
    assert len(keys) == 1
    opened = [open_with_stream_keys(entry, keys, origin=origin) for entry in read_entries(out)]
    assert {str(record.stream_id) for record in opened if record} == {
        str(next(iter(keys.values())).stream_id)
    }  # fmt: skip
    verdict = verify_bundle(out, log_keys=[scene.vkey])
    assert verdict.ok
    sealed = sum(record is None for record in opened)
    assert sealed > before / 2
    assert f"plaintext of {sealed} entries whose stream keys were not disclosed" in verdict.not_checked
    assert any("own stream was not disclosed" in text for text in verdict.not_checked)
    with pytest.raises(MalformedError, match="not disclosed"):
        replay_bundle(out)
    disclosed = scene.cell.events(scene.member, KeyDisclosed)[-1]
    assert (disclosed.streams, disclosed.everything, disclosed.recipient) == (1, False, "an insurer")
    assert len(scene.cell.history(scene.member)) == before + 1


def test_the_disclosure_of_everything_is_itself_in_the_bundle_that_it_opens(scene: Scene) -> None:
    replayed = replay_bundle(scene.bundle)
    assert replayed.topics["tenant.key_disclosed.v1"] == 1
    disclosed = scene.cell.events(scene.member, KeyDisclosed)[0]
    assert (disclosed.everything, disclosed.recipient) == (True, "the court")


@pytest.mark.parametrize(
    ("streams", "error"),
    [("", MalformedError), (",", MalformedError), ("x", MalformedError), ("wl-0x" + "0" * 32, UnknownError),
     ("0190163d-8694-739b-aea5-966c26f8ad90", UnknownError), ("cac-0x", MalformedError)],
)  # fmt: skip
def test_a_stream_that_this_log_does_not_have_is_not_disclosed_and_nothing_is_recorded(
    scene: Scene, tmp_path: Path, streams: str, error: type[Exception]
) -> None:
    with scene.cell.nothing_written(), pytest.raises(error):
        export_bundle(scene.cell.ledger, scene.member.log_id, tmp_path / "out", with_keys=streams)
    assert not (tmp_path / "out").exists()


def test_another_tenants_stream_is_not_disclosed_from_here(scene: Scene, tmp_path: Path) -> None:
    other = scene.cell.join()
    with scene.cell.nothing_written(), pytest.raises(UnknownError):
        export_bundle(scene.cell.ledger, other.log_id, tmp_path / "out", with_keys=scene.workload)


def test_an_export_that_has_nowhere_to_go_discloses_nothing(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("x")
    with scene.cell.nothing_written(), pytest.raises(ConflictError, match="exists already"):
        export_bundle(scene.cell.ledger, scene.member.log_id, tmp_path / "taken", with_keys="all")


def test_a_log_without_an_entry_has_no_bundle_or_an_empty_one(scene: Scene, tmp_path: Path) -> None:
    log, _ = scene.cell.ledger.create_log(LogKind.TENANT, "ledger.example")
    export_bundle(scene.cell.ledger, log.log_id, tmp_path / "empty")
    verdict = verify_bundle(tmp_path / "empty")
    assert (verdict.ok, verdict.size) == (True, 0)
    with pytest.raises(LedgerError, match=r"keys\.json"):
        replay_bundle(tmp_path / "empty")


def test_the_platforms_bundle_holds_nothing_of_a_tenant(scene: Scene, tmp_path: Path) -> None:
    platform = find_log(scene.cell.ledger, "platform")
    export_bundle(scene.cell.ledger, platform.log_id, tmp_path / "platform", with_keys="all")
    origin, keys = read_keys(tmp_path / "platform")
    everything = "".join(
        json.dumps(record.event)
        for entry in read_entries(tmp_path / "platform")
        if (record := open_with_stream_keys(entry, keys, origin=origin))
    )
    tenant = scene.member.tenant
    for secret in ("ClimateDAO", tenant.origin, tenant.log_id, scene.workload, tenant.did):
        assert secret not in everything
