"""What the ledger sends to a node, read strictly: a server's mistake is told, and never run."""

import base64
import json
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from domain.bounds import Bounds
from domain.errors import UnavailableError
from domain.executions.events import Hex32
from domain.identifiers import Digest
from domain.policies.facts import NodeFacts
from infrastructure.node.assignment import Assignment

_T = TypeVar("_T", bound="Sent")


class Sent(BaseModel):
    """Something that the ledger sends. What is not known is passed over: a newer ledger may say more."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class SentTaken(Sent):
    """Whether a report counts."""

    accepted: bool


class SentAnswer(Sent):
    """What became of one report of several: an HTTP status, and whether it counts where that is 200."""

    status: Annotated[int, Field(ge=200, le=599)]
    accepted: bool = False


class SentAnswers(Sent):
    """What became of each report of a request."""

    answers: tuple[SentAnswer, ...]


class SentAssignment(Sent):
    """One assignment, its module by digest."""

    execution: Annotated[str, Field(pattern=r"^exec-0x[0-9a-f]{32}$")]
    host: str
    origin: str
    node: str
    nonce: Hex32
    module_digest: Digest
    limits: Bounds
    policy_digest: Hex32
    submission: str
    until_ms: int

    def with_module(self, module: bytes) -> Assignment:
        """Return the assignment with its module."""
        return Assignment(
            host=self.host,
            origin=self.origin,
            execution_id=self.execution,
            node=self.node,
            nonce=bytes.fromhex(self.nonce),
            module=module,
            module_digest=self.module_digest,
            limits=self.limits,
            policy_digest=bytes.fromhex(self.policy_digest),
            submission=self.submission,
            until_ms=self.until_ms,
        )


class SentAssignments(Sent):
    """What a node is to run."""

    assignments: tuple[SentAssignment, ...]


def _base64(text: str) -> str:
    base64.b64decode(text, validate=True)  # a ValueError, where it is none, is one of the form
    return text


class SentRelease(Sent):
    """Inputs that were sealed to an enclave, each in base64, the draft of its CAC, and the key of its output in hex."""

    inputs: tuple[Annotated[str, AfterValidator(_base64)], ...]
    cac: dict[str, Any]
    output_key: Annotated[str, Field(pattern=r"^(?:[0-9a-f]{2}){1,8192}$")]

    @property
    def sealed_inputs(self) -> tuple[bytes, ...]:
        """Return the inputs' bytes."""
        return tuple(base64.b64decode(one) for one in self.inputs)


class SentStanding(Sent):
    """An execution as the ledger knows it: what comes next in its chain, its window's end, what was released to it."""

    execution: Annotated[str, Field(pattern=r"^exec-0x[0-9a-f]{32}$")]
    origin: Annotated[str, Field(max_length=300)]
    status: Annotated[str, Field(max_length=64)]
    over: bool
    reports: Annotated[int, Field(ge=0)]
    last_report: Digest
    until_ms: int
    release: SentRelease | None = None


class SentStandings(Sent):
    """What the ledger has on a node."""

    executions: tuple[SentStanding, ...]


class SentTelemetry(Sent):
    """Which heartbeat comes next."""

    seq: int
    prev: Digest


class SentNode(Sent):
    """The node as the ledger knows it."""

    node: str
    facts: dict[str, Any]
    standing: str
    telemetry: SentTelemetry
    platform: str

    def known_facts(self) -> NodeFacts:
        """Return its facts.

        Raises:
            UnavailableError: when they are none.
        """
        try:
            return NodeFacts.model_validate_json(_json(self.facts))
        except ValueError:
            raise UnavailableError("the ledger's answer is no NodeFacts") from None


class SentNodes(Sent):
    """The nodes that a key enrolled: one."""

    nodes: Annotated[tuple[SentNode, ...], Field(min_length=1, max_length=1)]


def read_sent(kind: type[_T], members: Any) -> _T:
    """Read what came.

    Raises:
        UnavailableError: when it is not of its form.
    """
    try:
        return kind.model_validate_json(_json(members))
    except (ValidationError, ValueError, TypeError, RecursionError) as error:
        raise UnavailableError(f"the ledger's answer is no {kind.__name__}: {type(error).__name__}") from None


def read_answers(members: Any, count: int) -> list[dict[str, Any]]:
    """Return what became of each of so many reports, with all that was said of it. Raises as `read_sent` does."""
    if len(read_sent(SentAnswers, members).answers) != count:
        raise UnavailableError("the ledger's answer is not of as many reports as were sent")
    answers: list[dict[str, Any]] = members["answers"]
    return answers


def _json(members: Any) -> bytes:
    return json.dumps(members).encode()
