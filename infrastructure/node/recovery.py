"""What a node finds when it starts: executions that it, or nobody, brought to their end.

Invariants:
- Nothing that had begun runs again. What had started is reported as lost and reset, by its own chain.
- Of what had shown its evidence only, the ledger is asked: inputs were released to an enclave that is gone, or a
  tenant's releaser may do so yet, then it is lost; the evidence never came, then nothing began, and it may be assigned
  anew.
- What the ledger has on this node and the journal does not know (the journal was lost) is ended as the ledger knows it.
"""

from collections.abc import Callable
from typing import Final

from domain.errors import UnavailableError
from infrastructure.exchange.answers import AnsweredError
from infrastructure.exchange.blocking import Client
from infrastructure.node.claims import LOST, RESET
from infrastructure.node.entries import Entry
from infrastructure.node.outbox import Outbox
from infrastructure.node.wire import SentStanding, SentStandings, read_sent

Tell = Callable[[str], None]

_HAD_INPUTS: Final = frozenset({"released", "started"})
_WAITS: Final = "provisioned"
_ENDED: Final = frozenset({"completed", "faulted"})


class Recovery:
    """Settles what was left.

    Args:
        client: the way to the ledger.
        outbox: what is reported.
        tell: is told what was found.
    """

    def __init__(self, client: Client, outbox: Outbox, tell: Tell) -> None:
        self._client = client
        self._outbox = outbox
        self._tell = tell
        self._unsure: list[Entry] = []

    def begin(self) -> int:
        """Say what can be said without asking; return how many executions were left behind."""
        left = [entry for entry in self._outbox.left_behind() if entry.last_kind != "reset"]
        for entry in left:
            if entry.last_kind == "evidence":
                self._unsure.append(entry)
            else:
                self._outbox.end_lost(entry)
        if left:
            self._tell(f"{len(left)} executions were left in the middle: none of them runs again")
        return len(left)

    def settle(self) -> None:
        """Ask the ledger for the rest. Repeat it until it succeeds.

        Raises:
            UnavailableError: when the ledger is away.
        """
        while self._unsure:
            self._ask(self._unsure[-1])
            self._unsure.pop()
        for standing in read_sent(SentStandings, self._client.get("/v1/assignments")).executions:
            if not self._outbox.knows(standing.execution):
                self._end(self._entry(standing), standing)

    def add(self, entry: Entry) -> None:
        """Take in an execution whose enclave is gone, of which nobody knows whether its inputs were released."""
        self._unsure.append(entry)

    def _ask(self, entry: Entry) -> None:
        try:
            standing = read_sent(SentStanding, self._client.get(f"/v1/assignments/{entry.execution_id}"))
        except AnsweredError as error:
            self._outbox.finish(entry, str(error))
            return
        if standing.reports == 0 and not standing.over:
            self._outbox.finish(entry, "its evidence never came", used=False)
        else:
            self._end(entry, standing)

    def _end(self, entry: Entry, standing: SentStanding) -> None:
        status = standing.status
        if (status in _HAD_INPUTS | _ENDED or status == _WAITS) and not standing.over:
            entry.seq, entry.prev = standing.reports, standing.last_report
            entry.answered = len(entry.said)
            self._outbox.say(entry, *((RESET,) if status in _ENDED else (LOST, RESET)))
            had = "waited for its inputs" if status == _WAITS else "had its inputs"
            self._tell(f"{entry.execution_id} {had}: reported as lost")
        elif entry.said:
            self._outbox.finish(entry, f"left as {status}")

    def _entry(self, standing: SentStanding) -> Entry:
        if not standing.origin:
            raise UnavailableError("the ledger does not say whose an execution is")
        return self._outbox.begin(standing.execution, standing.origin, standing.until_ms)
