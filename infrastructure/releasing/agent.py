"""The tenant's releaser at work: waits for executions, judges each, re-encrypts, signs, hands in.

Invariants:
- What was not judged good is never opened. What was refused here is told, in the log too by a signed statement, which
  ends the attempt; it is not tried again by this process.
- It keeps nothing: killed at any point and started again it judges anew. A release that was taken before is answered
  with "already", and nothing leaves twice.
- While a ledger does not answer, the very same statement and ciphertexts are sent again.
- One that can't be had holds up no other: it is tried again by itself, at longer and longer intervals, while it waits.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from domain.errors import ConflictError, LedgerError, NotAuthorisedError, UnavailableError
from domain.executions.events import MOST_REASON
from domain.executions.releases import refusal_claims
from domain.statements import ENDORSEMENT
from infrastructure.backoff import Backoff
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.releasing.judging import Releaser, judge, seal
from infrastructure.releasing.offered import read_offer
from infrastructure.releasing.sources import MOST_HELD, Source
from infrastructure.statements import jws
from infrastructure.statements.payload import payload

Tell = Callable[[str], None]

_POLL_S: Final = 20.0
_LOOK_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 30.0
_PATIENCE_S: Final = 8.0
_MOST_FAILING: Final = 3
"""So many in a row that can't be had end a round: it may be the ledger that is away, which the next one tells."""

Made = tuple[str, list[bytes] | None]
"""A statement, and the inputs as they were sealed; None where it refuses."""


@dataclass(slots=True)
class Released:
    """How many executions got their inputs, and how many were refused them here or by the ledger."""

    released: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Later:
    """An execution that could not be had, when it is tried again, and what was made for it already."""

    due_s: float = 0.0
    made: Made | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(most_s=_LONGEST_PAUSE_S))


class ReleaseAgent:
    """One tenant's releaser.

    Args:
        source: the way to the ledger.
        wallet: the releaser's keys.
        releaser: whom and what it believes.
        clock: tells instants.
        entropy: draws the ids of statements.
        tell: is told what people should know.
        stop: is set when it is to end: what is being released is finished first.

    Attributes:
        counts: what was done so far.
    """

    def __init__(
        self, source: Source, wallet: Wallet, releaser: Releaser, *, clock: Clock, entropy: Entropy, tell: Tell,
        stop: threading.Event,
    ) -> None:  # fmt: skip
        self._source = source
        self._wallet = wallet
        self._releaser = releaser
        self._clock = clock
        self._entropy = entropy
        self._tell = tell
        self._stop = stop
        self._settled: OrderedDict[str, None] = OrderedDict()
        self._later: dict[str, _Later] = {}
        self._under_way = ""
        self._failed: Exception | None = None
        self.counts = Released()

    def once(self) -> Released:
        """Release what waits now.

        Raises:
            LedgerError: when the ledger is away, or gives this wallet no access; or, after all others, when one of them
                could not be had.
        """
        failed = self._round(0.0)
        if failed is not None:
            raise failed
        return self.counts

    def run(self) -> Released:
        """Work until it is to end.

        Raises:
            LedgerError: when the ledger gives this wallet no access.
        """
        worker = threading.Thread(target=self._work, name="releaser", daemon=True)
        worker.start()
        while worker.is_alive() and not self._stop.wait(_LOOK_S):
            pass
        until_s = time.monotonic() + _PATIENCE_S
        while worker.is_alive() and self._under_way and time.monotonic() < until_s:
            worker.join(_LOOK_S)
        if self._failed is not None:
            raise self._failed
        return self.counts

    def _work(self) -> None:
        backoff, away = Backoff(most_s=_LONGEST_PAUSE_S), False
        while not self._stop.is_set():
            try:
                self._round(_POLL_S)
            except NotAuthorisedError as error:
                self._failed = error
                return
            except LedgerError as error:
                if not away:
                    self._tell(f"waiting for the ledger: {error}")
                away = True
                self._stop.wait(backoff.next_s())
            except Exception as error:  # noqa: BLE001 - raised again on the thread that was called
                self._failed = error
                return
            else:
                away = False
                backoff.reset()

    def _round(self, wait_s: float) -> UnavailableError | None:
        """Release what waits; return why the first of those could not be had that could not."""
        now_s = time.monotonic()
        due = {name for name, one in self._later.items() if one.due_s <= now_s}
        held = [name for name in self._later if name not in due]
        wait_s = min([wait_s, *[self._later[name].due_s - now_s for name in held]])
        found = self._source.waiting((*held, *self._settled), wait_s)
        for name in due.difference(found):
            del self._later[name]  # it waits no more
        first: UnavailableError | None = None
        failing = 0
        for execution in found:
            if self._stop.is_set() or failing == _MOST_FAILING:
                break
            self._under_way = execution
            try:
                self._one(execution)
            except UnavailableError as error:
                first, failing = first or error, failing + 1
                self._put_off(execution, error)
            else:
                failing = 0
            finally:
                self._under_way = ""
        return first

    def _put_off(self, execution: str, error: UnavailableError) -> None:
        """Try an execution again later."""
        later = self._later.setdefault(execution, _Later())
        if later.due_s == 0.0:
            self._tell(f"{execution}: not now, it is tried again: {error}")
        later.due_s = time.monotonic() + later.backoff.next_s()

    def _one(self, execution: str) -> None:
        """Judge and release one execution; what one of them meets stops no other.

        Raises:
            UnavailableError: when it could not be had: it is to be tried again.
        """
        try:
            token, sealed = self._made(execution)
            self._hand_in(execution, token, sealed)
        except UnavailableError:
            raise
        except ConflictError as error:
            self._tell(f"{execution}: {error}")
        except LedgerError as error:
            self.counts.refused += 1
            self._tell(f"{execution}: not released: {error}")
        self._later.pop(execution, None)
        self._settled[execution] = None
        while len(self._settled) + len(self._later) > MOST_HELD and self._settled:
            self._settled.popitem(last=False)

    def _made(self, execution: str) -> Made:
        """Judge an execution; return the statement that releases its inputs, with them as sealed, or refuses."""
        later = self._later.get(execution)
        if later is not None and later.made is not None:
            return later.made
        offered = read_offer(self._source.offer(execution))
        try:
            judged = judge(offered, execution, self._releaser, self._clock.now_ms())
            sealed = seal(judged, offered, self._releaser.release)
        except ConflictError:
            raise
        except LedgerError as error:
            self.counts.refused += 1
            self._tell(f"{execution}: not released: {error}")
            return self._signed(offered.origin, refusal_claims(execution, str(error)[:MOST_REASON])), None
        return self._signed(offered.origin, judged.claims(sealed)), sealed

    def _signed(self, origin: str, claims: Mapping[str, object]) -> str:
        content = payload(
            iss=self._wallet.did(Purpose.ENDORSEMENT), aud=origin, claims=claims, now_ms=self._clock.now_ms(),
            entropy=self._entropy,
        )  # fmt: skip
        return jws.sign(ENDORSEMENT, self._wallet.key(Purpose.ENDORSEMENT), content)

    def _hand_in(self, execution: str, token: str, sealed: list[bytes] | None) -> None:
        try:
            if sealed is None:
                self._refuse(execution, token)
                return
            answer = self._source.release(token, sealed)
        except UnavailableError:
            self._later.setdefault(execution, _Later()).made = token, sealed
            raise
        if answer.get("released") is True:
            self.counts.released += 1
            self._tell(f"{execution}: inputs released to the enclave that was appraised")
        else:
            self.counts.refused += 1
            self._tell(f"{execution}: the ledger lets it go no more: {str(answer.get('reason'))[:300]}")

    def _refuse(self, execution: str, token: str) -> None:
        """Say in the log that it was refused; what the ledger makes of that changes nothing here."""
        try:
            self._source.refuse(token)
        except UnavailableError:
            raise
        except LedgerError as error:
            self._tell(f"{execution}: the ledger does not take the refusal: {error}")
        else:
            self._tell(f"{execution}: the ledger has the refusal: this attempt is over")
