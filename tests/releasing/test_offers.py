"""What is put before a releaser costs few questions, however long the tenant's own stream is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from domain.errors import UnknownError
from infrastructure.postgres.reading import Reader
from tests.commands.cell import Cell
from tests.releasing.scene import waiting_scene


@contextmanager
def asked() -> Iterator[list[str]]:
    """Tell which queries are run."""
    names: list[str] = []
    fetch = Reader.fetch

    def counted(reader: Reader, name: str, **values: object) -> list[tuple[Any, ...]]:
        names.append(name)
        return fetch(reader, name, **values)

    with mock.patch.object(Reader, "fetch", counted):
        yield names


def test_an_offer_asks_as_little_for_many_entries_as_for_few(cell: Cell) -> None:
    member = cell.join(own_custody=True)
    few = waiting_scene(cell, member)
    with asked() as first:
        short = few.source().offer(few.execution)
    for number in range(12):
        member.adopt({"kind": "in_country"}, {"kind": "operators", "allowed": ["OpA", f"Op{number}"]})
    many = waiting_scene(cell, member)
    facts = dict(cell.ledger._facts)
    with asked() as second:
        long = many.source().offer(many.execution)
    assert len(long["entries"]) >= len(short["entries"]) + 12
    assert len(second) <= len(first) + 1
    assert facts.items() <= cell.ledger._facts.items(), "nothing that is remembered was let go of"
    assert "leaf_index" not in second


def test_the_entries_of_an_offer_are_at_their_places(cell: Cell) -> None:
    scene = waiting_scene(cell)
    ledger, log_id = cell.ledger, scene.member.log_id
    offered = scene.source().offer(scene.execution)["entries"]
    assert [one["leaf"] for one in offered] == sorted(one["leaf"] for one in offered)
    for one in offered:
        there = ledger.at(log_id, one["leaf"])
        assert (one["leaf_hash"], one["stream"], one["version"], one["at_ms"], one["topic"]) == (
            there.leaf_hash.hex(), str(there.stream_id), there.version, there.at_ms, there.event.TOPIC,
        )  # fmt: skip


def test_entries_by_their_places_are_one_question_and_complete(cell: Cell) -> None:
    ledger, log_id = cell.ledger, cell.owner.log_id
    size = ledger.head(log_id).size
    with asked() as names:
        found = ledger.at_all(log_id, [size - 1, 0, 1, 0])
    assert names == ["entries_at"]
    assert found == [ledger.at(log_id, one) for one in (0, 1, size - 1)]
    assert ledger.at_all(log_id, []) == []
    with pytest.raises(UnknownError):
        ledger.at_all(log_id, [0, size])
