"""Entries under data keys that were not disclosed switch no check off, but where the log itself tells of such keys."""

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from domain.canonical import canonical
from domain.errors import VerificationError
from domain.hashing import sha256_hex
from domain.message import Event
from domain.tenants.events import DataKeyRotated, KeyDisclosed, PrincipalRevoked
from infrastructure.audit.disclosure import KEYS, keys_document
from infrastructure.audit.opening import Order
from infrastructure.audit.verify import verify_bundle
from infrastructure.keys.plaintext import EntryRecord, encode_record
from infrastructure.keys.sealing import DataKey, Sealer
from infrastructure.keys.stream_keys import StreamKey
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verdict import Verification
from tests.audit.past import AT_S, Past, refused
from tests.commands.cell import ENTROPY


def verdict_of(past: Past, out: Path, entries: Sequence[bytes], keys: Sequence[StreamKey]) -> Verification:
    signer = LogSigner.from_seeds(past.tenant.origin, b"e" * 32, b"m" * 32)
    extra = [(KEYS, keys_document(past.tenant.origin, keys))]
    write_bundle(entries, size=len(entries), signer=signer, at_unix_s=AT_S, out=out, extra=extra)
    return verify_bundle(out)


def sealer(past: Past, generation: int) -> Sealer:
    return Sealer(past.tenant.origin, DataKey.create(generation, ENTROPY), ENTROPY)


def junk(past: Past, generation: int) -> bytes:
    """Return an entry of a stream that nobody has a key for."""
    stream = uuid4()
    record = EntryRecord(stream, 0, "x", past.at_ms, {})
    return sealer(past, generation).seal(stream, encode_record(record))


def own_event(past: Past, event: Event, *, after: int = 0) -> bytes:
    """Return the next event of the log's own stream, or one of those after it."""
    own = past.streams()[0]
    version = max(item.version for item in past.history if item.stream_id == own) + 1 + after
    return past.seal(own, version, event.TOPIC, event.payload())


def forged(past: Past, *, after: int = 0) -> bytes:
    kid = next(iter(past.tenant.principals))
    return own_event(past, PrincipalRevoked(kid=kid, reason="nobody said so", statements=()), after=after)


def every_key(past: Past, *further: Sealer) -> list[StreamKey]:
    return [one.stream_key(stream) for one in (past.sealer, *further) for stream in past.streams()]


@pytest.mark.parametrize("generation", [1, 9])
def test_an_entry_under_keys_that_the_log_never_told_of_switches_no_check_off(
    early: Past, tmp_path: Path, generation: int
) -> None:
    entries = [*early.entries, junk(early, generation), forged(early)]
    verdict = verdict_of(early, tmp_path / "b", entries, every_key(early))
    refused(verdict, "no signature", entry=len(entries) - 1)


@pytest.mark.parametrize("announced", [0, 1])
def test_keys_that_the_log_never_told_of_are_refused_at_the_end(early: Past, tmp_path: Path, announced: int) -> None:
    told = [own_event(early, DataKeyRotated(generation=1))] if announced else []
    entries = [*early.entries, *told, junk(early, announced + 1)]
    verdict = verdict_of(early, tmp_path / "b", entries, every_key(early))
    refused(verdict, f"generation {announced + 1} of the data key", f"{announced} rotations", entry=len(entries) - 1)


def test_generations_that_nobody_disclosed_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.audit.opening._MAX_HIDDEN", 3)
    order = Order(lambda _: frozenset())
    for index, generation in enumerate((1, 2, 1, 3, 3)):
        assert order.take(index, generation) is None
    with pytest.raises(VerificationError, match="more than 3 key generations"):
        order.take(5, 4)


def test_an_entry_that_nobody_disclosed_is_counted_and_no_more(early: Past, tmp_path: Path) -> None:
    verdict = verdict_of(early, tmp_path / "b", [*early.entries, junk(early, 0)], every_key(early))
    assert verdict.ok, verdict.first_error
    assert "plaintext of 1 entries whose stream keys were not disclosed" in verdict.not_checked


def everything(past: Past) -> KeyDisclosed:
    digest = sha256_hex(canonical([str(stream) for stream in sorted(past.streams())]))
    return KeyDisclosed(streams=len(past.streams()), streams_digest=digest, everything=True, recipient="court")


def test_a_disclosure_of_everything_leaves_no_generation_out(early: Past, tmp_path: Path) -> None:
    newer, own = sealer(early, 1), early.streams()[0]
    told = [own_event(early, DataKeyRotated(generation=1)), own_event(early, everything(early), after=1)]
    entries, whole = [*early.entries, *told], every_key(early, newer)
    verdict = verdict_of(early, tmp_path / "whole", entries, whole)
    assert verdict.ok, verdict.first_error
    kept = [key for key in whole if key.generation == 0 or key.stream_id == own]
    verdict = verdict_of(early, tmp_path / "kept", entries, kept)
    refused(verdict, "everything was disclosed, but for keys of generation 1", entry=len(entries) - 1)
    some = [key for key in kept if key.stream_id != early.streams()[-1]]
    assert verdict_of(early, tmp_path / "some", entries, some).ok, "an earlier disclosure, to somebody else"


def test_what_was_opened_and_could_not_be_judged_is_counted_apart(early: Past, tmp_path: Path) -> None:
    """Keys of a generation that the log tells of were kept back: it is sealed, and what follows it can't be judged."""
    newer, own = sealer(early, 1), early.streams()[0]
    last = next(item for item in reversed(early.history) if item.stream_id != own)
    record = EntryRecord(last.stream_id, last.version + 1, "unread", early.at_ms, {})
    entries = [
        *early.entries,
        own_event(early, DataKeyRotated(generation=1)),
        newer.seal(last.stream_id, encode_record(record)),
        early.seal(last.stream_id, last.version + 2, last.event.TOPIC, last.event.payload()),
    ]
    verdict = verdict_of(early, tmp_path / "b", entries, [*every_key(early), newer.stream_key(own)])
    assert verdict.ok, verdict.first_error
    assert "plaintext of 1 entries whose stream keys were not disclosed" in verdict.not_checked
    assert any(line.startswith("1 entries that were opened but not judged: ") for line in verdict.not_checked)
    opened = f"plaintext of {len(entries) - 2} disclosed entries"
    assert any(line.startswith(opened) for line in verdict.checked), verdict.checked
    jumped = [*early.entries, entries[-1]]
    refused(verdict_of(early, tmp_path / "jumped", jumped, every_key(early)), "is next", entry=len(jumped) - 1)
