"""The outbox of a node: signed once, in order, until it is answered; the same after every crash."""

import json
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from domain.errors import UnavailableError
from domain.executions.state import NO_REPORT
from infrastructure.clock import VirtualClock
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.node import outbox as outboxes
from infrastructure.node.claims import RESET, STARTED
from infrastructure.node.delivery import Delivery
from infrastructure.node.enclosed import Enclosed
from infrastructure.node.journal import Journal
from infrastructure.node.outbox import Outbox
from infrastructure.statements import jws

NOW = 1_700_000_000_000
UNTIL = NOW + 60_000
ORIGIN = "ledger.example/t/7"
EVIDENCE = {"kind": "evidence"}
NAMES = ["exec-0x" + f"{number:032x}" for number in range(6)]


@pytest.fixture(scope="module")
def wallet(tmp_path_factory: pytest.TempPathFactory) -> Wallet:
    return wallets.create(tmp_path_factory.mktemp("w") / "w.json", "berlin-1", SystemEntropy())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "n"


def opened(directory: Path, wallet: Wallet) -> tuple[Journal, Outbox]:
    journal = Journal(directory)
    return journal, Outbox(journal, wallet, VirtualClock(NOW), SystemEntropy())


def tokens(box: Outbox) -> dict[str, list[str]]:
    return {entry.execution_id: [one.token for one in entry.waiting] for entry in box.left_behind()}


def test_reports_form_a_chain_and_are_the_same_tokens_after_a_crash(directory: Path, wallet: Wallet) -> None:
    journal, box = opened(directory, wallet)
    entry = box.begin(NAMES[0], ORIGIN, UNTIL)
    box.say(entry, EVIDENCE)
    box.say(entry, STARTED, RESET, enclosed=Enclosed(output=b"out", cac=b"cac"))
    said = tokens(box)[NAMES[0]]
    payloads = [jws.peek(said[0])[1], *map(json.loads, said[1:])]
    assert [one["seq"] for one in payloads] == [0, 1, 2]
    assert [one["prev"] for one in payloads] == [NO_REPORT, *(sha256(one.encode()).hexdigest() for one in said[:-1])]
    journal.close()
    journal, box = opened(directory, wallet)
    assert tokens(box) == {NAMES[0]: said}
    ((_, waiting),) = box.take(10, 0)
    (batch,) = box.batches([(entry, waiting)])
    header, content = jws.peek(batch)
    assert (header["kid"], content["aud"]) == (wallet.thumbprint(Purpose.REPORT), ORIGIN)
    assert content["reports"] == [sha256(one.encode()).hexdigest() for one in said[1:]], "evidence is signed by itself"
    assert [one.body().keys() for one in waiting] == [{"report"}, {"report", "output", "cac"}, {"report"}]
    journal.close()


def test_what_was_answered_is_not_sent_again_and_what_was_not_is(directory: Path, wallet: Wallet) -> None:
    journal, box = opened(directory, wallet)
    entry = box.begin(NAMES[0], ORIGIN, UNTIL)
    box.say(entry, EVIDENCE, RESET)
    ((taken, waiting),) = box.take(10, 0)
    assert box.take(10, 0) == [], "one sender at a time has an execution"
    box.sent(taken, [{"accepted": True}])
    assert waiting[0].answer.result(0) == {"accepted": True}
    ((_, again),) = box.take(10, 0)
    assert [one.kind for one in again] == ["reset"]
    journal.close()
    journal, box = opened(directory, wallet)
    assert [len(one) for one in tokens(box).values()] == [1]
    journal.close()


def test_a_start_waits_a_moment_for_its_end_and_then_leaves_alone(
    directory: Path, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "_TOGETHER_S", 0.3)
    journal, box = opened(directory, wallet)
    short, long = (box.begin(name, ORIGIN, UNTIL) for name in NAMES[:2])
    for entry in (short, long):
        box.say(entry, EVIDENCE)
        box.sent(box.take(10, 0)[0][0], [{"accepted": True}])
        box.say(entry, STARTED)
    box.say(short, RESET)
    ((entry, said),) = box.take(10, 0)
    assert (entry, [one.kind for one in said]) == (short, ["started", "reset"])
    found: list[Any] = []
    while not found:
        found = box.take(10, 0)
    assert [(entry, [one.kind for one in said]) for entry, said in found] == [(long, ["started"])]
    assert time.monotonic() >= long.leaves_s
    journal.close()


def test_a_rewritten_journal_says_the_same(directory: Path, wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "_REWRITE_BYTES", 1)
    journal, box = opened(directory, wallet)
    entries = [box.begin(name, ORIGIN, UNTIL) for name in NAMES]
    for entry in entries:
        box.say(entry, EVIDENCE)
    box.sent(box.take(1, 0)[0][0], [{"accepted": True}])
    box.finish(entries[0], "reset")
    box.say(entries[1], STARTED)
    box.finish(entries[2], "never came", used=False)
    expected = tokens(box)
    assert box.knows(NAMES[0])
    assert not box.knows(NAMES[2])
    journal.close()
    journal, box = opened(directory, wallet)
    assert tokens(box) == expected
    assert [box.knows(name) for name in NAMES] == [True, True, False, True, True, True]
    journal.close()


class Away:
    """A ledger that is away for so many requests, and then takes everything."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.taken: list[str] = []

    def post(self, path: str, members: dict[str, Any]) -> dict[str, Any]:
        assert path == "/v1/reports"
        if self.away:
            self.away -= 1
            raise UnavailableError("away")
        self.taken += [one["report"] for one in members["reports"]]
        return {"answers": [{"status": 200, "accepted": True} for _ in members["reports"]]}

    def close(self) -> None:
        pass


def test_a_ledger_that_was_away_gets_everything_in_order(directory: Path, wallet: Wallet) -> None:
    journal, box = opened(directory, wallet)
    for name in NAMES:
        box.say(box.begin(name, ORIGIN, UNTIL), EVIDENCE, STARTED, RESET)
    expected = tokens(box)
    ledger, told = Away(4), list[str]()
    delivery = Delivery(box, ledger, told.append, senders=3)  # type: ignore[arg-type]  # it posts, no more is asked
    delivery.start()
    assert box.wait_delivered(20)
    delivery.stop(5)
    for said in expected.values():
        assert [one for one in ledger.taken if one in said] == said
    assert "away" in told[0]
    assert box.left_behind() == []
    journal.close()
