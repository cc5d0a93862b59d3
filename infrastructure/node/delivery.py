"""Senders: bring what the outbox holds to the ledger, in order and at least once, however long it is away.

Invariants:
- A report leaves the outbox's care only with an answer: taken, or refused for good. Everything else is tried again,
  with pauses that grow to a bound and differ from node to node, so that a ledger that comes back is not overrun.
- An answer for good that does not count ends the execution here, and is told: it holds up nothing behind it. What was
  refused together, as a request or as a batch, is no answer to any one of it: it is sent one by one.
- A sender ends when it is told to, whatever it meets: a disk without room is told, and waited for.
"""

import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from typing import Final

from domain.errors import LedgerError
from infrastructure.backoff import Backoff
from infrastructure.exchange.answers import AnsweredError
from infrastructure.exchange.blocking import Client
from infrastructure.node.entries import Answer, Entry, Said
from infrastructure.node.outbox import Outbox
from infrastructure.node.wire import read_answers

Tell = Callable[[str], None]

_MOST_REPORTS: Final = 64
_LOOK_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
_AGAIN: Final = frozenset(
    {HTTPStatus.FAILED_DEPENDENCY, HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}
)
_FOR_GOOD: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
"""Of one report alone, where the ledger itself says why. Whoever answers otherwise may be on the way to it only."""

Sent = list[tuple[Entry, list[Said]]]


class Delivery:
    """Sends from so many threads. Start it, stop it.

    Args:
        outbox: what there is to send.
        client: the way to the ledger.
        tell: is told when the ledger is away, is back, or refuses for good.
        senders: how many requests may be under way.
    """

    def __init__(self, outbox: Outbox, client: Client, tell: Tell, senders: int) -> None:
        self._outbox = outbox
        self._client = client
        self._tell = tell
        self._ended = threading.Event()
        self._chance = random.SystemRandom()
        self._away = False
        self._trouble = ""
        self._telling = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"node-sender-{number}", daemon=True) for number in range(senders)
        ]

    def start(self) -> None:
        """Start sending."""
        for thread in self._threads:
            thread.start()

    def stop(self, within_s: float) -> None:
        """Stop, and wait so long for what is under way: a stopped sender may leave an answer behind, never a report."""
        self._ended.set()
        until_s = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _run(self) -> None:
        backoff = Backoff(most_s=_LONGEST_PAUSE_S)
        with closing(self._client):
            while not self._ended.is_set():
                try:
                    self._settle()
                    taken = self._outbox.take(_MOST_REPORTS, _LOOK_S)
                    if taken and not self._send(taken):
                        self._ended.wait(self.jitter(backoff.next_s()))
                    elif taken:
                        backoff.reset()
                except Exception as error:  # noqa: BLE001 - the last border: without senders a node says nothing more
                    self._tell(f"a fault of the program ({type(error).__name__}) while reports were sent")
                    self._ended.wait(self.jitter(backoff.next_s()))

    def _settle(self) -> None:
        """Bring what is not durable yet to the disk, and tell when that begins to fail and when it is over."""
        trouble = self._outbox.settle()
        with self._telling:
            before, self._trouble = self._trouble, trouble
        if trouble and not before:
            self._tell(f"{trouble}: what is said meanwhile waits here")
        elif before and not trouble:
            self._tell("the node's journal is written again")

    def jitter(self, pause_s: float) -> float:
        """Return a pause between half and one and a half of what it was."""
        return pause_s * (0.5 + self._chance.random())

    def _send(self, taken: Sent) -> bool:
        """Send; tell whether to go on at once."""
        bodies = [one.body() for _, said in taken for one in said]
        answered: set[str] = set()
        try:
            sent = {"reports": bodies, "batches": self._outbox.batches(taken)}
            answers = read_answers(self._client.post("/v1/reports", sent), len(bodies))
            self._back()
            complete, at = True, 0
            for entry, said in taken:
                answered.add(entry.execution_id)
                complete &= self._answered(entry, said, answers[at : at + len(said)], alone=len(bodies) == 1)
                at += len(said)
        except AnsweredError as error:
            return self._refused(taken, error, alone=len(bodies) == 1)
        except LedgerError as error:
            self._wait(str(error))
            return False
        else:
            return complete
        finally:  # whatever happened, no execution stays with a sender
            for entry, _ in taken:
                if entry.execution_id not in answered:
                    self._outbox.sent(entry, ())

    def _wait(self, why: str) -> None:
        if not self._away:
            self._away = True
            self._tell(f"reports wait: {why}")

    def _back(self) -> None:
        if self._away:
            self._away = False
            self._tell("the ledger takes reports again")

    def _refused(self, taken: Sent, error: AnsweredError, *, alone: bool) -> bool:
        """Go on after a request was refused as a whole; tell whether at once."""
        if not alone:
            self._outbox.singly(*(entry for entry, _ in taken))
            self._tell(
                f"{sum(len(said) for _, said in taken)} reports go one by one: together they were refused: {error}"
            )
            return True
        ((entry, (said,)),) = taken
        if error.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE and not (error.problem and error.status in _FOR_GOOD):
            self._outbox.singly(entry)
            self._wait(f"{said.kind} of {entry.execution_id}: {error} ({error.status})")
            return False
        self._put_aside(entry, said.kind, f"{error} ({error.status})")
        return True

    def _put_aside(self, entry: Entry, kind: str, why: str) -> None:
        self._tell(f"{entry.execution_id}: the ledger does not take its report ({kind}): {why}")
        self._outbox.finish(entry, f"{kind} refused: {why}")

    def _answered(self, entry: Entry, said: list[Said], answers: list[Answer], *, alone: bool) -> bool:
        """Take in the answers of one execution's reports; tell whether to go on at once."""
        taken: list[Answer] = []
        refused, again = "", False
        for one, answer in zip(said, answers, strict=True):
            status = answer["status"]
            if status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                break
            if status != HTTPStatus.OK and one.bare and not alone:
                again = True  # it may be what was refused of another in its batch
                break
            taken.append(answer)
            if not answer.get("accepted", False):
                refused = str(answer.get("reason") or answer.get("detail") or status)[:300]
                break
        kind = said[len(taken) - 1].kind if taken else ""
        self._outbox.sent(entry, taken, alone=again)
        if refused:
            self._put_aside(entry, kind, refused)
        elif kind == "reset":
            self._outbox.finish(entry, "reset")
        return again or bool(refused) or len(taken) == len(answers)
