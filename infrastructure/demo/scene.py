"""What the acts of the demo's story need of whoever carries it out: one story, told in virtual time or by a service.

Two carry it out: `stage` in one process and virtual time, `served` by processes that speak over HTTP, in real time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from domain.bounds import Bounds
from domain.policies.kinds import Rule
from domain.quotas.events import Quota
from domain.time import DAY_MS, MINUTE_MS, SECOND_MS
from infrastructure.client.submission import InputSource, SubmissionFile
from infrastructure.demo.board import Board
from infrastructure.demo.cast import USUAL, Member
from infrastructure.demo.display import Display
from infrastructure.demo.questions import Question, Questions
from infrastructure.keys.wallet import Wallet

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """How a question is asked, where it isn't as usual."""

    clause: str | None = None
    bounds: Bounds = USUAL
    trigger: str | None = None
    wait_ms: int = DAY_MS
    inputs: tuple[bytes, ...] | None = None


AS_USUAL: Final = Ask()


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the story takes between its parts.

    Attributes:
        gap_ms: before a part begins.
        look_ms: from asking to looking why.
        token_ms: period of a token.
        crowd: submissions at once that are more than the primary nodes have places for.
    """

    gap_ms: int
    look_ms: int
    token_ms: int
    crowd: int


VIRTUAL: Final = Pace(gap_ms=2 * MINUTE_MS, look_ms=SECOND_MS, token_ms=MINUTE_MS, crowd=11)
"""Nothing waits in virtual time. Two of the crowd go to the reserve."""


def asked(question: Question, ask: Ask) -> tuple[SubmissionFile, tuple[bytes, ...]]:
    """Return what a question asks for, and its inputs."""
    judgement = question.judgement
    inputs = ask.inputs or question.inputs
    content = SubmissionFile(
        clause_id=ask.clause or judgement.clause,
        resource_class=judgement.resource_class,
        bounds=ask.bounds,
        inputs=tuple(InputSource(text="") for _ in inputs),
        trigger=ask.trigger,
        wait_ms=ask.wait_ms,
    )
    return content, inputs


class Scene(Protocol):
    """Whoever carries the story out."""

    @property
    def display(self) -> Display:
        """Is told what happens."""
        ...

    @property
    def board(self) -> Board:
        """Counts what happened."""
        ...

    @property
    def questions(self) -> Questions:
        """Draws what is asked."""
        ...

    @property
    def pace(self) -> Pace:
        """How long things take."""
        ...

    def now_ms(self) -> int:
        """Return the instant."""
        ...

    def wallet(self, name: str) -> Wallet:
        """Return a person's wallet."""
        ...

    def admin(self, member: Member) -> Wallet:
        """Return the wallet of a tenant's admin."""
        ...

    def rules(self, member: Member) -> tuple[Rule, ...]:
        """Return a tenant's lasting policy."""
        ...

    def adopt(self, member: Member, rules: Sequence[Rule]) -> None:
        """Put a policy in force."""
        ...

    def submit(self, member: Member, question: Question, ask: Ask = AS_USUAL) -> str:
        """Ask a question now; return the workload's id."""
        ...

    def plan(self, at_ms: int, act: Callable[[], object]) -> None:
        """Have something happen at an instant. What is planned first happens first."""
        ...

    def play(self) -> None:
        """Go on until nothing is planned, running, or waiting for an instant."""
        ...

    def why(self, member: Member, workload: str) -> Row:
        """Return what became of a workload, once something was decided about it."""
        ...

    def grant_quota(self, to: Member | None, slots: Quota | None) -> None:
        """Let the root scope grant slots, or no certain number of them; None: to itself."""
        ...

    def grant_tokens(self, to: Member, *, tokens: int, period_ms: int, burst: int, until_ms: int) -> None:
        """Let the root scope grant bandwidth."""
        ...

    def renew(self, member: Member) -> None:
        """Let the root scope grant a new TEEExecutorVC."""
        ...

    def authorize(self, member: Member, workload: str, names: Sequence[str], bounds: Bounds) -> None:
        """Let people sign that a workload's first fault may run again.

        Raises:
            NotAuthorisedError: when these are not enough.
        """
        ...

    def release(self, member: Member) -> None:
        """Let a tenant that keeps its inputs itself release them from now on."""
        ...

    def stand_reserve(self) -> None:
        """Let the reserve stand, and its operator offer it."""
        ...

    def drain_reserve(self) -> None:
        """Let the reserve take nothing more."""
        ...

    def muster(self) -> None:
        """Let all nodes stand that the largest quorum needs."""
        ...

    def open_dispute(self, member: Member, cac: str, grounds: str) -> str:
        """Let a tenant dispute its own result before the root scope; return the dispute's id."""
        ...

    def answer_dispute(self, dispute: str, operator: str, text: str) -> None:
        """Let the operator of a node answer."""
        ...

    def decide_dispute(self, dispute: str, decision: Literal["upheld", "overturned"], reason: str) -> None:
        """Let the root scope's resolver decide."""
        ...
