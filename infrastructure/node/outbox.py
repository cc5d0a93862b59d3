"""The outbox: what this node has said of each execution and what was answered, durable in its journal.

Invariants:
- A report names its predecessor's hash and is durable before it is sent. After a crash the same bytes go out again: the
  ledger knows them and gives its first answer. Evidence is signed by itself, once; everything else as one of a batch
  (`batches`), which is signed when it leaves.
- An execution that is in here was begun here: it is never begun again before its window is over, by which time no
  ledger lets it begin.
- A start is told together with its end where that follows at once: nobody waits for it, and a batch is an entry.
- Reports of one execution leave in their order; one that the ledger will never take ends that execution here, aloud.
- What leaves together is bounded by number and bytes. What was refused together leaves one by one from then on
  (`singly`): what one report met is nobody else's.
- What the journal has no room for is not sent before it has (`settle`): nothing of it is lost, and the rest goes on.
- What is over is forgotten but for its id; the journal is rewritten when it has grown.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from domain.canonical import canonical
from domain.errors import UnavailableError
from domain.executions.state import NO_REPORT
from domain.statements import REPORT
from domain.time import DAY_MS, SECOND_MS
from infrastructure.backoff import Backoff
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.node.claims import LOST, RESET, Claims
from infrastructure.node.enclosed import NOTHING, Enclosed
from infrastructure.node.entries import Answer, Entry, Said, fitting, said_record
from infrastructure.node.journal import Journal, Record
from infrastructure.statements import jws

_LIFETIME_S: Final = 30 * DAY_MS // SECOND_MS
"""A report may reach its ledger that late. It counts within its execution's window only; the rest is for the record."""
_BATCH_S: Final = 600
_TOGETHER_S: Final = 0.05
_REWRITE_BYTES: Final = 33_554_432
_REWRITE_AGAIN_S: Final = 60.0
MOST_BYTES: Final = 4_194_304
"""Of the reports that leave together, with what goes with them: a quarter of what the ledger takes in a request."""


class Outbox:
    """Everything that this node has to report. Safe to call from several threads.

    Args:
        journal: where it is kept.
        wallet: the node's keys.
        clock: tells the instants of statements.
        entropy: draws their jti.
    """

    def __init__(self, journal: Journal, wallet: Wallet, clock: Clock, entropy: Entropy) -> None:
        self._journal = journal
        self._wallet = wallet
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._moved = threading.Condition(self._lock)
        self._open: dict[str, Entry] = {}
        self._used: dict[str, int] = {}
        self._ready: deque[str] = deque()
        self._sending: set[str] = set()
        self._unwritten: dict[str, tuple[Entry, int]] = {}
        self._pauses = Backoff(first_s=0.2, most_s=5.0)
        self._settles_s = self._rewrites_s = 0.0
        self._trouble = self._unwieldy = ""
        for record in journal.records:
            self._replay(record)
        journal.records.clear()
        self._ready.extend(name for name, entry in self._open.items() if entry.waiting)

    def left_behind(self) -> list[Entry]:
        """Return the executions that a process before this one did not bring to their end."""
        with self._lock:
            return list(self._open.values())

    def knows(self, execution_id: str) -> bool:
        """Tell whether an execution was begun here."""
        return execution_id in self._open or execution_id in self._used

    def begin(self, execution_id: str, origin: str, until_ms: int, seq: int = 0, prev: str = NO_REPORT) -> Entry:
        """Return the entry of an execution of which nothing was said here; the first `say` makes it durable."""
        return Entry(execution_id, origin, until_ms, seq, prev)

    def say(self, entry: Entry, *claims: Claims, enclosed: Enclosed = NOTHING) -> list[Said]:
        """Sign the next reports of an execution and make them durable together; they are sent from then on.

        Args:
            entry: the execution.
            claims: of each report.
            enclosed: what goes with the first of them.

        Raises:
            UnavailableError: when the journal can't be written: they leave when it can be again.
        """
        said, seq, prev = [], entry.seq, entry.prev
        for at, one in enumerate(claims):
            report = {**one, "execution": entry.execution_id, "seq": seq, "prev": prev}
            bare = one["kind"] != "evidence"
            token = canonical(report).decode() if bare else self._signed(report, entry.origin, _LIFETIME_S)
            said.append(Said(str(one["kind"]), token, enclosed.members() if at == 0 else {}))
            seq, prev = seq + 1, sha256(token.encode()).hexdigest()
        with self._lock:  # first here, then in the journal: a rewrite between the two keeps it, and twice is as once
            record = said_record(entry, len(entry.said), said, seq, prev)
            entry.seq, entry.prev = seq, prev
            entry.said += said
            self._open[entry.execution_id] = entry
        try:
            self._journal.append(record)
        except UnavailableError:
            with self._lock:
                self._unwritten[entry.execution_id] = entry, len(entry.said)
            raise
        with self._lock:
            entry.durable = len(entry.said)
            entry.leaves_s = time.monotonic() + _TOGETHER_S
            self._wake(entry)
        return said

    def wait_durable(self, entry: Entry, timeout_s: float) -> bool:
        """Wait until all that was said of an execution is durable; tell whether it is."""
        with self._moved:
            return self._moved.wait_for(lambda: entry.durable == len(entry.said), timeout_s)

    def batches(self, taken: Iterable[tuple[Entry, list[Said]]]) -> list[str]:
        """Return the statements over all that is to be sent and not signed by itself: one for each log."""
        digests: dict[str, list[str]] = {}
        for entry, said in taken:
            digests.setdefault(entry.origin, []).extend(
                sha256(one.token.encode()).hexdigest() for one in said if one.bare
            )
        return [
            self._signed({"kind": "batch", "reports": named}, origin, _BATCH_S)
            for origin, named in digests.items()
            if named
        ]

    def end_lost(self, entry: Entry) -> None:
        """Say of an execution whose enclave is gone what is still to be said: that it was lost, that it is reset."""
        if entry.last_kind in {"completed", "faulted"}:
            self.say(entry, RESET)
        elif entry.last_kind != "reset":
            self.say(entry, LOST, RESET)

    def finish(self, entry: Entry, why: str, *, used: bool = True) -> None:
        """Let go of an execution. With `used` it is never begun again here.

        Args:
            entry: the execution.
            why: for the journal.
            used: False for one whose evidence never reached its ledger: it may be begun anew.
        """
        with self._lock:
            entry.over = why
            self._open.pop(entry.execution_id, None)
            if used:
                self._used[entry.execution_id] = entry.until_ms
            for one in entry.said[entry.answered :]:
                one.answer.cancel()
            self._moved.notify_all()
        record = {"k": "over", "e": entry.execution_id, "u": entry.until_ms if used else 0, "w": why}
        if used:
            self._journal.note(record)  # a crash that forgets it finds out again, by asking again
        else:
            self._journal.append(record)
        if self._journal.size_bytes > _REWRITE_BYTES and time.monotonic() >= self._rewrites_s:
            self._rewrite()

    def withdraw(self, entry: Entry) -> None:
        """Let go of an execution of which nothing was sent yet: its enclave is gone, and nothing began."""
        with self._lock:
            if entry.answered or entry.execution_id in self._sending or entry.execution_id not in self._open:
                return
            del self._open[entry.execution_id]
        self.finish(entry, "withdrawn", used=False)

    def take(self, most: int, timeout_s: float) -> list[tuple[Entry, list[Said]]]:
        """Take executions with reports to be sent, each for one sender until `sent`; wait for some.

        Args:
            most: reports, unless one execution alone has more; and MOST_BYTES, unless one report alone has more.
            timeout_s: how long to wait.
        """
        with self._moved:
            if not self._ready:
                self._moved.wait(timeout_s)
            taken: list[tuple[Entry, list[Said]]] = []
            later: list[str] = []
            count, room, now_s = 0, MOST_BYTES, time.monotonic()
            while self._ready and count < most:
                entry = self._open.get(self._ready.popleft())
                if entry is None or not entry.waiting or entry.execution_id in self._sending:
                    continue
                if [one.kind for one in entry.waiting] == ["started"] and now_s < entry.leaves_s:
                    later.append(entry.execution_id)
                    continue
                fits = entry.waiting[:1] if entry.alone else fitting(entry.waiting, room)
                if taken and (entry.alone or not fits):
                    self._ready.appendleft(entry.execution_id)  # it comes first the next time
                    break
                fits = fits or entry.waiting[:1]
                self._sending.add(entry.execution_id)
                taken.append((entry, fits))
                count, room = count + len(fits), room - sum(one.size_bytes for one in fits)
                if entry.alone:
                    break
            self._ready.extend(later)
            if later and not taken:
                self._moved.wait(_TOGETHER_S)
            return taken

    def singly(self, *entries: Entry) -> None:
        """Have the reports of executions leave one by one, until an answer came for one of them."""
        with self._lock:
            for entry in entries:
                entry.alone = True

    def settle(self) -> str:
        """Write what the journal had no room for, if it is time to; return what stands in the way, "" for nothing."""
        with self._lock:
            late = dict(self._unwritten)
            if not late and not self._journal.full:
                self._trouble = ""
                return self._unwieldy
            if time.monotonic() < self._settles_s:
                return self._trouble
            self._settles_s = time.monotonic() + self._pauses.next_s()
        try:
            self._journal.retry()
        except UnavailableError as error:
            self._trouble = str(error)
            return self._trouble
        if self._journal.failed:
            return self._trouble
        with self._lock:
            self._pauses.reset()
            self._settles_s, self._trouble = 0.0, ""
            for name, (entry, count) in late.items():
                if self._unwritten.get(name) == (entry, count):
                    del self._unwritten[name]
                entry.durable = max(entry.durable, count)
                if name in self._open:
                    self._wake(entry)
        return self._unwieldy

    def sent(self, entry: Entry, answers: Iterable[Answer], *, alone: bool = False) -> None:
        """Note the answers that came for an execution's reports, in order; the rest is sent again, `alone` or not."""
        done: list[tuple[Said, Answer]] = []
        with self._lock:
            for answer in answers:
                done.append((entry.said[entry.answered], answer))
                entry.answered += 1
            entry.alone = alone or (entry.alone and not done)
            self._sending.discard(entry.execution_id)
            if entry.execution_id in self._open:
                self._wake(entry)
        if done:
            self._journal.note({"k": "got", "e": entry.execution_id, "n": entry.answered})
        for said, answer in done:
            if not said.answer.done():
                said.answer.set_result(answer)

    def undelivered(self) -> int:
        """Return how many reports wait for an answer."""
        with self._lock:
            return sum(len(entry.waiting) for entry in self._open.values())

    def wait_delivered(self, timeout_s: float) -> bool:
        """Wait until every report has its answer; tell whether each has."""
        with self._moved:
            return self._moved.wait_for(lambda: not any(one.waiting for one in self._open.values()), timeout_s)

    def _wake(self, entry: Entry) -> None:
        if entry.waiting and entry.execution_id not in self._sending:
            self._ready.append(entry.execution_id)
        self._moved.notify_all()

    def _signed(self, claims: Claims, origin: str, lifetime_s: int) -> str:
        issued = self._clock.now_ms() // SECOND_MS
        content = {
            **claims,
            "iss": self._wallet.did(Purpose.REPORT),
            "aud": origin,
            "jti": self._entropy.bytes(16).hex(),
            "iat": issued,
            "exp": issued + lifetime_s,
        }
        return jws.sign(REPORT, self._wallet.key(Purpose.REPORT), content)

    def _replay(self, record: Record) -> None:
        name = record["e"]
        if record["k"] == "said":
            entry = self._open.setdefault(name, Entry(name, record["o"], record["u"]))
            entry.said[record["i"] :] = [Said(*one) for one in record["s"]]
            entry.durable = len(entry.said)
            entry.seq, entry.prev = record["n"], record["p"]
            entry.answered = record.get("a", entry.answered)
        elif record["k"] == "got" and name in self._open:
            self._open[name].answered = record["n"]
        elif record["k"] == "over":
            self._open.pop(name, None)
            if record["u"]:
                self._used[name] = record["u"]

    def _rewrite(self) -> None:
        """Keep what is open, and the ids of what could still be given out; the old journal where that fails."""
        with self._lock:
            now_ms = self._clock.now_ms()
            self._used = {name: until for name, until in self._used.items() if until + DAY_MS > now_ms}
            records: list[Record] = [
                {"k": "over", "e": name, "u": until, "w": ""} for name, until in self._used.items()
            ]
            records += [
                {**said_record(entry, 0, entry.said, entry.seq, entry.prev), "a": entry.answered}
                for entry in self._open.values()
            ]
            try:
                self._journal.rewrite(records)
                self._unwieldy = ""
            except UnavailableError as error:
                self._unwieldy = str(error)
                self._rewrites_s = time.monotonic() + _REWRITE_AGAIN_S
