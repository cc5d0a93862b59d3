"""Senders of a node: what one report meets holds up no other, and neither disk nor ledger ends them."""

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import UnavailableError
from infrastructure.clock import VirtualClock
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange.answers import AnsweredError
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Wallet
from infrastructure.node import delivery as deliveries
from infrastructure.node import outbox as outboxes
from infrastructure.node.claims import RESET, STARTED
from infrastructure.node.delivery import Delivery
from infrastructure.node.enclosed import Enclosed
from infrastructure.node.entries import Entry, Said
from infrastructure.node.journal import Journal
from infrastructure.node.outbox import Outbox
from infrastructure.statements import jws
from tests.faults.test_disk_full import full, small_disk

NOW = 1_700_000_000_000
UNTIL = NOW + 60_000
ORIGIN = "ledger.example/t/7"
EVIDENCE = {"kind": "evidence"}
NAMES = ["exec-0x" + f"{number:032x}" for number in range(8)]
BAD = NAMES[3]

Post = Callable[[list[str], list[str]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def wallet(tmp_path_factory: pytest.TempPathFactory) -> Wallet:
    return wallets.create(tmp_path_factory.mktemp("w") / "w.json", "berlin-1", SystemEntropy())


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "_LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(deliveries, "_LOOK_S", 0.05)


class Ledger:
    """A ledger that answers as it is told to, and what it has taken, by execution."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self.taken: dict[str, list[str]] = {}
        self.requests: list[int] = []

    def post(self, path: str, members: dict[str, Any]) -> dict[str, Any]:
        assert path == "/v1/reports"
        texts = [one["report"] for one in members["reports"]]
        self.requests.append(len(texts))
        answers = self._post(texts, members["batches"])
        for text, answer in zip(texts, answers, strict=False):
            if answer.get("accepted"):
                self.taken.setdefault(execution(text), []).append(text)
        return {"answers": answers}

    def close(self) -> None:
        pass


def execution(text: str) -> str:
    """Return the execution that a report is of."""
    found: str = (json.loads(text) if text.startswith("{") else jws.peek(text)[1])["execution"]
    return found


def good(texts: list[str], _: list[str]) -> list[dict[str, Any]]:
    """Take everything."""
    return [{"status": 200, "accepted": True} for _ in texts]


def opened(directory: Path, wallet: Wallet) -> tuple[Journal, Outbox]:
    journal = Journal(directory)
    return journal, Outbox(journal, wallet, VirtualClock(NOW), SystemEntropy())


@contextmanager
def sending(box: Outbox, post: Post, senders: int = 1) -> Iterator[tuple[Ledger, list[str]]]:
    """Send an outbox to a ledger; give that and what is told."""
    ledger, told = Ledger(post), list[str]()
    delivery = Delivery(box, ledger, told.append, senders)  # type: ignore[arg-type]  # it posts, no more is asked
    delivery.start()
    try:
        yield ledger, told
    finally:
        delivery.stop(5)


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


def said_by(box: Outbox, *names: str) -> dict[str, list[str]]:
    """Say three reports of each execution; return them."""
    for name in names:
        box.say(box.begin(name, ORIGIN, UNTIL), EVIDENCE, STARTED, RESET)
    return {entry.execution_id: [one.token for one in entry.said] for entry in box.left_behind()}


@given(sizes=st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=4), max_size=12))
def test_what_leaves_together_is_bounded_and_nothing_is_left_behind(
    wallet: Wallet, tmp_path_factory: pytest.TempPathFactory, sizes: list[list[int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch, Journal(tmp_path_factory.mktemp("o") / "n") as journal:
        patch.setattr(outboxes, "MOST_BYTES", 800)
        box = Outbox(journal, wallet, VirtualClock(NOW), SystemEntropy())
        expected = {}
        for number, lengths in enumerate(sizes):
            entry = box.begin(f"exec-0x{number:032x}", ORIGIN, UNTIL)
            for length in lengths:
                box.say(entry, {"kind": "faulted"}, enclosed=Enclosed(output=bytes(length)))
            expected[entry.execution_id] = [one.token for one in entry.said]
        found: dict[str, list[str]] = {}
        while taken := box.take(5, 0):
            reports = [one for _, said in taken for one in said]
            assert len(reports) == 1 or sum(one.size_bytes for one in reports) <= 800
            assert all(one.size_bytes >= len(one.token) for one in reports)
            for entry, said in taken:
                found.setdefault(entry.execution_id, []).extend(one.token for one in said)
                box.sent(entry, [{"accepted": True}] * len(said))
        assert found == expected


@pytest.mark.parametrize(("status", "problem"), [(400, True), (413, True), (413, False), (422, True)])
def test_a_request_that_is_refused_as_a_whole_goes_one_by_one_and_what_is_to_blame_is_put_aside(
    wallet: Wallet, tmp_path: Path, status: int, problem: bool
) -> None:
    def post(texts: list[str], batches: list[str]) -> list[dict[str, Any]]:
        if any(execution(one) == BAD and "started" in one for one in texts):
            raise AnsweredError(status, "too much of it", problem=problem)
        return good(texts, batches)

    journal, box = opened(tmp_path / "n", wallet)
    expected = said_by(box, *NAMES)
    with sending(box, post, senders=3) as (ledger, told):
        assert box.wait_delivered(10)
        until(lambda: not box.left_behind())
    assert ledger.taken == {**expected, BAD: expected[BAD][:1]}
    assert [BAD in one for one in told].count(True) == 1
    assert any("one by one" in one for one in told)
    assert box.knows(BAD), "it is never begun again"
    journal.close()


def test_what_something_on_the_way_refuses_waits_and_holds_up_nobody(wallet: Wallet, tmp_path: Path) -> None:
    there = False

    def post(texts: list[str], batches: list[str]) -> list[dict[str, Any]]:
        if not there and any(execution(one) == BAD for one in texts):
            raise AnsweredError(404, "no reason was given", problem=False)
        return good(texts, batches)

    journal, box = opened(tmp_path / "n", wallet)
    expected = said_by(box, *NAMES)
    with sending(box, post) as (ledger, told):
        until(lambda: [one.execution_id for one in box.left_behind()] == [BAD])
        assert BAD not in ledger.taken
        there = True
        until(lambda: not box.left_behind())
    assert ledger.taken == expected
    assert any("reports wait" in one for one in told)
    journal.close()


def test_a_batch_that_is_refused_is_no_answer_to_any_one_report_of_it(wallet: Wallet, tmp_path: Path) -> None:
    def post(texts: list[str], batches: list[str]) -> list[dict[str, Any]]:
        named = sum(len(jws.peek(one)[1]["reports"]) for one in batches)
        spoilt = any(execution(one) == BAD and one.startswith("{") for one in texts)
        refused = {"status": 404, "detail": "there is no such execution of this node"}
        return [
            refused if spoilt and named and one.startswith("{") else {"status": 200, "accepted": True} for one in texts
        ]

    journal, box = opened(tmp_path / "n", wallet)
    expected = said_by(box, *NAMES)
    with sending(box, post, senders=2) as (ledger, told):
        until(lambda: not box.left_behind())
    assert ledger.taken == {**expected, BAD: expected[BAD][:1]}
    assert [one for one in told if "does not take" in one] == [
        f"{BAD}: the ledger does not take its report (started): there is no such execution of this node"
    ]
    journal.close()


def test_answers_that_are_too_few_are_none_and_a_fault_ends_no_sender(wallet: Wallet, tmp_path: Path) -> None:
    meets: list[Callable[[], list[dict[str, Any]]]] = [
        list, lambda: [{"status": 200, "accepted": True}], lambda: [{"status": "200"}] * 3, lambda: [1 // 0],  # type: ignore[list-item]  # nonsense
    ]  # fmt: skip

    def post(texts: list[str], batches: list[str]) -> list[dict[str, Any]]:
        return meets.pop(0)() if meets else good(texts, batches)

    journal, box = opened(tmp_path / "n", wallet)
    expected = said_by(box, NAMES[0])
    with sending(box, post) as (ledger, told):
        until(lambda: not box.left_behind())
    assert ledger.taken[NAMES[0]][-3:] == expected[NAMES[0]]
    assert any("ZeroDivisionError" in one for one in told)
    assert ledger.requests[-1] == 3, "nothing was refused: they still go together"
    journal.close()


def test_a_full_disk_is_told_what_is_durable_goes_on_and_the_rest_once_there_is_room(
    wallet: Wallet, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        journal, box = opened(disk / "n", wallet)
        first = box.begin(NAMES[0], ORIGIN, UNTIL)
        box.say(first, EVIDENCE, STARTED)
        with sending(box, good, senders=2) as (ledger, told):
            until(lambda: len(ledger.taken.get(NAMES[0], ())) == 2)
            with full(disk):
                second = box.begin(NAMES[1], ORIGIN, UNTIL)
                with pytest.raises(UnavailableError, match="No space left"):
                    box.say(second, EVIDENCE, STARTED, enclosed=Enclosed(output=bytes(9000)))
                with pytest.raises(UnavailableError, match="No space left"):
                    box.say(first, RESET, enclosed=Enclosed(output=bytes(9000)))
                until(lambda: told)
                time.sleep(0.3)
                assert (len(ledger.taken[NAMES[0]]), NAMES[1] in ledger.taken) == (2, False), "nothing before its time"
            until(lambda: len(ledger.taken.get(NAMES[1], ())) == 2 and not first.waiting)
            box.say(second, RESET)
            until(lambda: not box.left_behind())
        assert ["No space left" in told[0], told[1:]] == [True, ["the node's journal is written again"]]
        assert [len(one) for one in ledger.taken.values()] == [3, 3]
        journal.close()
        journal, box = opened(disk / "n", wallet)
        assert box.left_behind() == []
        assert box.knows(NAMES[0])
        journal.close()


def test_a_journal_that_can_not_be_written_anew_ends_no_sender(
    wallet: Wallet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    journal, box = opened(tmp_path / "n", wallet)
    expected = said_by(box, *NAMES)
    monkeypatch.setattr(outboxes, "_REWRITE_BYTES", 1)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", no_room)
        with sending(box, good) as (ledger, told):
            until(lambda: not box.left_behind())
            until(lambda: told)
        assert "anew: No space left" in told[0]
    assert ledger.taken == expected
    journal.close()
    journal, box = opened(tmp_path / "n", wallet)
    assert all(box.knows(name) for name in NAMES)
    journal.close()


def test_reports_that_go_alone_go_first_and_each_by_itself(wallet: Wallet, tmp_path: Path) -> None:
    journal, box = opened(tmp_path / "n", wallet)
    said_by(box, *NAMES[:4])
    held: list[tuple[Entry, list[Said]]] = box.take(100, 0)
    box.singly(held[1][0], held[2][0])
    for entry, _ in held:
        box.sent(entry, ())
    takes = [[(entry.execution_id, len(said)) for entry, said in box.take(100, 0)] for _ in range(5)]
    assert takes == [[(NAMES[0], 3)], [(NAMES[1], 1)], [(NAMES[2], 1)], [(NAMES[3], 3)], []]
    box.sent(held[1][0], [{"accepted": True}])
    ((_, rest),) = box.take(100, 0)
    assert [one.kind for one in rest] == ["started", "reset"], "one answer, and they go together again"
    journal.close()
