"""What an outbox keeps in its directory: bounded by what is open, read again after any crash."""

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError
from infrastructure.notices import journal
from infrastructure.notices.journal import FILE, MAX_LINE_BYTES, Open, OutboxJournal, Whole

LOG = UUID(int=1)


def opened(**tries: int) -> Open:
    """Return what is open for recipients."""
    return Open(LOG, dict(tries))


def added(kept: OutboxJournal, known: Whole, stream: int, one: Open, position: int) -> None:
    """Change what is known of one stream, and write it down."""
    known.pop(UUID(int=stream), None)
    if one.to:
        known[UUID(int=stream)] = one
    kept.add([(UUID(int=stream), one)], position, f"mark {position}", lambda: known)


def read(directory: Path) -> tuple[int, str, Whole]:
    """Read as a process does that begins."""
    return OutboxJournal(directory).read()


def test_nothing_is_kept_where_nothing_was_written(tmp_path: Path) -> None:
    assert read(tmp_path) == (0, "", {})


changes = st.lists(
    st.tuples(st.integers(0, 3), st.dictionaries(st.sampled_from("ab"), st.integers(0, 3)), st.booleans())
)


@given(changes)
def test_what_was_written_is_read_again_whoever_wrote_it_and_the_file_stays_small(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, dict[str, int], bool]]
) -> None:
    directory, known = tmp_path_factory.mktemp("notices"), Whole()
    kept = OutboxJournal(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "SLACK_LINES", 4)
        for position, (stream, to, restarts) in enumerate(steps, 1):
            added(kept, known, stream, opened(**to), position)
            assert len((directory / FILE).read_bytes().splitlines()) <= 2 * len(known) + 6
            if restarts:
                kept = OutboxJournal(directory)
                assert kept.read() == (position, f"mark {position}", known)
    assert read(directory)[2] == known


def test_a_torn_line_is_left_out_and_the_file_is_written_anew(tmp_path: Path) -> None:
    known = Whole()
    added(OutboxJournal(tmp_path), known, 1, opened(a=0), 1)
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"open": "0000')
    kept = OutboxJournal(tmp_path)
    assert kept.read() == (1, "mark 1", known)
    added(kept, known, 2, opened(b=1), 2)
    assert read(tmp_path) == (2, "mark 2", known)
    assert len(path.read_bytes().splitlines()) == 3


def test_who_finds_the_file_written_anew_by_another_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, of_one, of_other = OutboxJournal(tmp_path), OutboxJournal(tmp_path), Whole(), Whole()
    added(one, of_one, 1, opened(a=0), 1)
    other.read()
    added(other, of_other, 2, opened(a=0), 2)
    monkeypatch.setattr(journal, "SLACK_LINES", 0)
    added(one, of_one, 3, opened(a=0), 1)
    assert read(tmp_path)[0] == 1, "what the other added is looked at again"
    monkeypatch.undo()
    added(other, of_other, 4, opened(a=0), 4)
    position, _, known = read(tmp_path)
    assert position == 4
    assert known.keys() >= of_other.keys()


@pytest.mark.parametrize(
    "line",
    [
        b"{}", b"[]", b"1", b'{"at": -1, "mark": ""}', b'{"at": true, "mark": ""}', b'{"at": 1}',
        b'{"open": "x", "log": "y", "to": {}}', b'{"open": 1, "log": 2, "to": {}}', b"\xff", b"[" * 9_000,
        b'{"at": 1, "mark": "' + b"x" * MAX_LINE_BYTES + b'"}',
    ],
)  # fmt: skip
def test_what_is_not_of_its_form_is_refused(tmp_path: Path, line: bytes) -> None:
    (tmp_path / FILE).write_bytes(line + b"\n")
    with pytest.raises(MalformedError, match="derived from the start"):
        read(tmp_path)
