"""Generations of a data key together, and what is sealed beside the entries."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import VerificationError
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.at_rest import AtRest
from infrastructure.keys.generations import LogSealer, UnknownGenerationError
from infrastructure.keys.plaintext import EntryRecord, encode_record
from infrastructure.keys.sealing import Sealer
from infrastructure.keys.stream_keys import DataKey

ENTROPY = SystemEntropy()
ORIGIN = "ledger.example/t/5"
STREAM = UUID("0198c0de-0000-7000-8000-000000000001")
KEYS = tuple(DataKey.create(generation, ENTROPY) for generation in range(3))


def record(version: int = 0) -> EntryRecord:
    return EntryRecord(STREAM, version, "time.ticked.v1", 1, {"due_ms": version})


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
def test_entries_and_payloads_of_every_generation_open_and_the_newest_seals(generations: list[int]) -> None:
    every = LogSealer(ORIGIN, KEYS, ENTROPY)
    for version, generation in enumerate(generations):
        then = LogSealer(ORIGIN, KEYS[: generation + 1], ENTROPY)
        assert then.generation == generation
        assert every.read(then.seal(STREAM, encode_record(record(version)))) == record(version)
        assert every.open_payload(STREAM, then.seal_payload(STREAM, b"payload")) == b"payload"
    assert every.generation == 2


def test_one_generation_is_a_sealer_and_a_generation_that_is_not_held_is_told_apart() -> None:
    older, newer = LogSealer(ORIGIN, KEYS[:1], ENTROPY), LogSealer(ORIGIN, KEYS[:2], ENTROPY)
    entry = older.seal(STREAM, encode_record(record()))
    assert Sealer(ORIGIN, KEYS[0], ENTROPY).read(entry) == record()
    with pytest.raises(UnknownGenerationError):
        older.read(newer.seal(STREAM, encode_record(record())))
    with pytest.raises(UnknownGenerationError):
        older.open_payload(STREAM, newer.seal_payload(STREAM, b"x"))


def test_each_generation_discloses_its_own_key_of_a_stream() -> None:
    keys = LogSealer(ORIGIN, KEYS, ENTROPY).stream_keys(STREAM)
    assert [key.generation for key in keys] == [0, 1, 2]
    assert len({key.tag for key in keys}) == len({key.secret for key in keys}) == 3


def test_sealings_are_counted_for_the_newest_generation() -> None:
    sealer = LogSealer(ORIGIN, KEYS, ENTROPY, sealed_before=7)
    sealer.seal(STREAM, encode_record(record()))
    sealer.seal_payload(STREAM, b"x")
    sealer.at_rest.seal(b"place", b"x")
    assert sealer.sealed == 9


def test_what_is_kept_at_rest_opens_at_its_place_only_and_in_every_later_generation() -> None:
    sealed = AtRest(KEYS[:1], ENTROPY).seal(b"place", b"content")
    assert b"content" not in sealed
    assert not sealed.startswith(b"{")
    later = AtRest(KEYS, ENTROPY)
    assert later.open(b"place", sealed) == b"content"
    for context, changed in (
        (b"another", sealed), (b"place", sealed[:-1]), (b"place", sealed[:20]), (b"place", b""),
        (b"place", b"\x02" + sealed[1:]), (b"place", sealed[:4] + b"\x01" + sealed[5:]), (b"place", b'{"plain":1}'),
        (b"place", sealed[:4] + b"\x09" + sealed[5:]),
    ):  # fmt: skip
        with pytest.raises(VerificationError):
            later.open(context, changed)
    with pytest.raises(VerificationError):
        AtRest(KEYS[1:], ENTROPY).open(b"place", sealed)


def test_no_entry_opens_what_is_kept_at_rest_nor_the_other_way_round() -> None:
    sealer = LogSealer(ORIGIN, KEYS, ENTROPY)
    with pytest.raises(VerificationError):
        sealer.at_rest.open(b"place", sealer.seal(STREAM, encode_record(record())))
    assert sealer.at_rest.seal(b"p", b"x") != sealer.at_rest.seal(b"p", b"x")


def test_keys_show_nothing_of_themselves() -> None:
    sealer = LogSealer(ORIGIN, KEYS, ENTROPY)
    shown = repr(sealer) + str(sealer) + repr(sealer.at_rest) + repr(KEYS) + repr(sealer.stream_keys(STREAM))
    for secret in [key.secret for key in KEYS] + [key.secret for key in sealer.stream_keys(STREAM)]:
        assert secret.hex() not in shown
        assert repr(secret) not in shown
