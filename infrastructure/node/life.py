"""The life of one execution on its node: enclave, evidence, inputs, run, result, reset.

Invariants:
- Nothing runs before a durable mark says that it began; what has that mark is never begun again.
- Inputs come sealed to this enclave's key, and its output is sealed to the tenant's: neither is seen here.
- The reset is reported only after the keep has dropped instance and keys.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Final, Literal

from domain.canonical import canonical
from domain.errors import LedgerError, UnavailableError
from infrastructure.clock import Clock
from infrastructure.exchange.answers import AnsweredError
from infrastructure.exchange.blocking import Client
from infrastructure.node.assignment import Assignment
from infrastructure.node.claims import LOST, RESET, STARTED, Claims, EvidencePort, ended, prepare_request
from infrastructure.node.enclosed import NOTHING, Enclosed
from infrastructure.node.entries import Answer, Entry, Said
from infrastructure.node.outbox import Outbox
from infrastructure.node.wire import SentRelease, SentStanding, read_sent
from infrastructure.runtime.keep import Keep
from infrastructure.runtime.messages import Completed, Faulted, Run
from infrastructure.runtime.pool import KeepPool

Tell = Callable[[str], None]

_MOST_PREPARED: Final = 48
"""Of one tenant at once: enclaves that wait hold keys and memory."""
_LOOK_S: Final = 1.0
_FIRST_LOOK_S: Final = 0.05
_MS: Final = 1000


class Lives:
    """Brings executions from assignment to reset. Safe to call from several threads.

    Args:
        client: the way to the ledger.
        outbox: what is reported.
        keeps: where enclaves are made.
        evidence: makes their evidence.
        clock: tells whether a window is over.
        tell: is told what went wrong.
    """

    def __init__(
        self, client: Client, outbox: Outbox, keeps: KeepPool, evidence: EvidencePort, clock: Clock, tell: Tell
    ) -> None:
        self._client = client
        self._outbox = outbox
        self._keeps = keeps
        self._evidence = evidence
        self._clock = clock
        self._tell = tell
        self._rooms: dict[str, threading.Semaphore] = {}
        self._lock = threading.Lock()
        self._running: dict[str, Keep] = {}
        self._stopping = threading.Event()
        self._abandoned = threading.Event()
        self.executed = 0
        self.lost = 0

    def live(self, assignment: Assignment) -> None:
        """Bring one execution to its end here, or leave it as it is; it never raises for what one execution meets."""
        room = self._room(assignment.origin)
        with room:
            if self._stopping.is_set() or self._over(assignment.until_ms):
                return
            try:
                with self._keeps.lane(assignment.origin, assignment.execution_id) as keep:
                    self._live(assignment, keep)
            except (CancelledError, AnsweredError):
                return  # its end was told when it came
            except LedgerError as error:
                self._tell(f"{assignment.execution_id}: {error}")

    def stop(self) -> None:
        """Let what did not begin be left; what runs goes on."""
        self._stopping.set()

    def abandon(self) -> list[str]:
        """Kill what still runs; each is reported as lost. Return which."""
        self._abandoned.set()
        with self._lock:
            running = dict(self._running)
        for keep in running.values():
            with suppress(ProcessLookupError):
                os.kill(keep.pid, signal.SIGKILL)
        return sorted(running)

    def _live(self, assignment: Assignment, keep: Keep) -> None:
        name = assignment.execution_id
        prepared = keep.prepare(prepare_request(assignment))
        entry: Entry | None = None
        reset = False
        try:
            made = self._evidence.make(assignment, prepared)
            entry = self._outbox.begin(name, assignment.origin, assignment.until_ms)
            said = self._say(entry, made.claims, made.enclosed)
            release = self._released(entry, self._answer(said.answer, assignment.until_ms))
            if not isinstance(release, SentRelease):
                if release == "no inputs":  # the release found the inputs to be none: all that is left is the reset
                    keep.reset(name)
                    reset = True
                    self._outbox.say(entry, RESET)
                return
            self._say(entry, STARTED)
            result, duration_ms = self._run(keep, name, release)
            keep.reset(name)
            reset = True
            self._report(entry, result, duration_ms)
        finally:
            if not reset:
                keep.reset(name)
                if entry is not None and not entry.over and entry.last_kind in {"started", "evidence"}:
                    self._end_early(entry)

    def _say(self, entry: Entry, claims: Claims, enclosed: Enclosed = NOTHING) -> Said:
        """Say what has to be durable before anything follows; wait for a disk that has no room for it."""
        try:
            (said,) = self._outbox.say(entry, claims, enclosed=enclosed)
        except UnavailableError:
            while not self._outbox.wait_durable(entry, _LOOK_S):
                if self._stopping.is_set() or self._over(entry.until_ms):
                    raise
            said = entry.said[-1]
        return said

    def _run(self, keep: Keep, name: str, release: SentRelease) -> tuple[Completed | Faulted, int]:
        request = Run(
            execution_id=name,
            sealed_inputs=release.sealed_inputs,
            output_public_key=bytes.fromhex(release.output_key),
            cac=release.cac,
            created_ms=self._clock.now_ms(),
        )
        with self._lock:
            self._running[name] = keep
        began_s = time.monotonic()
        try:
            if self._abandoned.is_set():
                raise UnavailableError("the node ends")
            result = keep.run(request)
        finally:
            with self._lock:
                del self._running[name]
        return result, int((time.monotonic() - began_s) * _MS)

    def _report(self, entry: Entry, result: Completed | Faulted, duration_ms: int) -> None:
        """Report how it ended and, together with it, that it is reset: one write for both."""
        self.executed += 1
        if isinstance(result, Completed):
            enclosed = Enclosed(output=result.sealed_output, cac=canonical(result.cac))
            self._outbox.say(entry, ended(result, duration_ms), RESET, enclosed=enclosed)
        elif self._abandoned.is_set():
            self.lost += 1
            self._outbox.say(entry, LOST, RESET)
        else:
            self._outbox.say(entry, ended(result, duration_ms), RESET)

    def _released(self, entry: Entry, answer: Answer | None) -> SentRelease | Literal["nothing", "no inputs"]:
        """Return what was released; that nothing will be; or that it was found to be no inputs."""
        if answer is None or not answer.get("accepted"):
            return "nothing"
        if "release" in answer:
            return read_sent(SentRelease, answer["release"])
        pause_s, told = _FIRST_LOOK_S, False
        while True:
            found = self._standing(entry)
            if found.over or self._over(entry.until_ms):
                self._outbox.finish(entry, f"no inputs: {found.status}")
                return "nothing"
            if self._stopping.is_set():
                return "nothing"
            if found.status == "faulted":
                return "no inputs"
            if found.release is not None:
                return found.release
            if not told and found.status == "provisioned":
                told = True
                self._tell(f"{entry.execution_id} waits for its tenant's releaser")
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, _LOOK_S)

    def _standing(self, entry: Entry) -> SentStanding:
        while True:
            try:
                found = read_sent(SentStanding, self._client.get(f"/v1/assignments/{entry.execution_id}"))
            except UnavailableError:
                if self._stopping.is_set() or self._over(entry.until_ms):
                    raise
                time.sleep(_LOOK_S)
            else:
                return found

    def _answer(self, answer: Future[Answer], until_ms: int) -> Answer | None:
        """Wait for an answer while it can still be of use."""
        while not self._stopping.is_set() and not self._over(until_ms):
            try:
                found: Answer = answer.result(_LOOK_S)
            except TimeoutError:
                continue
            else:
                return found
        return None

    def _end_early(self, entry: Entry) -> None:
        """Say what follows for an execution that ends without having run to its end."""
        if entry.last_kind == "started":
            self.lost += 1
            self._outbox.say(entry, LOST, RESET)
        elif entry.answered:  # its inputs were still waited for: no fault, unless they came this very moment
            self._outbox.say(entry, LOST, RESET)
        else:  # where its evidence is on its way nobody knows whether inputs were released: the next start asks
            self._outbox.withdraw(entry)

    def _over(self, until_ms: int) -> bool:
        return self._clock.now_ms() >= until_ms

    def _room(self, origin: str) -> threading.Semaphore:
        with self._lock:
            return self._rooms.setdefault(origin, threading.Semaphore(_MOST_PREPARED))
