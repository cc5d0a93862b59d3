"""Events of the platform log. They hold nothing of a tenant's content."""

from typing import Annotated, ClassVar

from pydantic import Field

from domain.identifiers import Digest
from domain.message import Event, Value
from domain.policies.kinds import Word


class AdminKey(Value):
    """An enrolled governance key: RFC 7638 thumbprint, raw Ed25519 public key in hex, and the person behind it."""

    kid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    person: Word


class Genesis(Event):
    """The cell begins: nothing else is accepted before it."""

    TOPIC: ClassVar[str] = "platform.genesis.v1"

    cell: Annotated[int, Field(ge=0)]
    host: str
    origin: str
    root_scope: str
    root_origin: str
    engine: str


class LevelsAdopted(Event):
    """Priority levels: domains in the order in which they are served; what isn't named comes last."""

    TOPIC: ClassVar[str] = "levels.adopted.v1"

    version: Annotated[int, Field(ge=1)]
    domains: Annotated[tuple[Word, ...], Field(min_length=1, max_length=64)]
    statements: tuple[str, ...]


class DecisionsMade(Event):
    """A batch of decisions begins: whose (the decider's epoch), and up to which position of the feed inputs counted.

    Inputs up to `together` are folded first; of those after it, each row of the feed is folded and then decided on, up
    to `position`. So a decision knows of no input that came after the one that brought it about, however many were
    stored meanwhile. The decisions follow in the same transaction.
    """

    TOPIC: ClassVar[str] = "decider.decided.v1"

    epoch: Annotated[int, Field(ge=1)]
    together: Annotated[int, Field(ge=0)]
    position: Annotated[int, Field(ge=0)]
    decisions: Annotated[int, Field(ge=1)]
    engine: str


class Ticked(Event):
    """An instant that something waited for has come, and no other input carried time past it."""

    TOPIC: ClassVar[str] = "time.ticked.v1"

    due_ms: Annotated[int, Field(ge=0)]


class KeyDestroyed(Event):
    """The data keys of the tenant in a slot are gone: its log, of this size and root, can't be read any more.

    `round`: the round of the anchor log that holds the log at this size; None where nothing anchors it.
    """

    TOPIC: ClassVar[str] = "tenant.key_destroyed.v1"

    slot: Annotated[int, Field(ge=1)]
    size: Annotated[int, Field(ge=0)]
    root: Digest
    round: Annotated[int, Field(ge=0)] | None
