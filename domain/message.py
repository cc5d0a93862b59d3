"""Events: frozen, strict, named for ever, in a closed registry.

Invariants:
- A topic is written once, `<area>.<fact>.v<n>`; renaming a class changes nothing that is stored.
- Only topics of the registry are ever turned into code: a topic from the database is looked up, never imported.
- An event prints to the restricted canonical JSON and reads back equal (a property test walks the registry).
"""

from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from domain.canonical import canonical
from domain.errors import MalformedError


class Value(BaseModel):
    """A frozen, strict value: nothing is coerced and nothing unknown is let in."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Event(Value):
    """Something that happened. Subclasses carry their stored name in TOPIC."""

    TOPIC: ClassVar[str]

    def payload(self) -> dict[str, Any]:
        """Return the event as restricted JSON members (domain.canonical)."""
        members: dict[str, Any] = self.__pydantic_serializer__.to_python(
            self, mode="json"
        )  # `model_dump`, a half faster
        return members


class Sealed(Event):
    """Stands for an event that can't be read any more: its log's data key was destroyed.

    It is in no registry, so it is never stored. Folds and projections ignore it, as any event that they don't read.
    """

    TOPIC = "ledger.sealed"


class Pending(NamedTuple):
    """An event decided but not yet stored: which log, which stream, which version it expects to be."""

    log_id: UUID
    stream_id: UUID
    version: int
    event: Event


class Recorded(NamedTuple):
    """A stored event with its place: leaf index (zero-based) in its log, version in its stream, instant in ms."""

    log_id: UUID
    leaf_index: int
    stream_id: UUID
    version: int
    at_ms: int
    event: Event
    leaf_hash: bytes


_REGISTRY: dict[str, type[Event]] = {}


def register(*types: type[Event]) -> None:
    """Add event types to the closed registry. Called once by domain.registry.

    Raises:
        ValueError: when a topic is taken by another type.
    """
    for kind in types:
        if _REGISTRY.setdefault(kind.TOPIC, kind) is not kind:
            raise ValueError(f"topic {kind.TOPIC} is registered twice")


def topics() -> dict[str, type[Event]]:
    """Return the registry: topic to event type."""
    return dict(_REGISTRY)


def event_from(topic: str, payload: Any) -> Event:
    """Build an event from a stored topic and its decoded payload.

    Raises:
        MalformedError: for a topic outside the registry or a payload of another shape.
    """
    return event_from_json(topic, canonical(payload))


def event_from_json(topic: str, payload: bytes) -> Event:
    """Build an event from a stored topic and its payload in canonical form. Raises as `event_from` does."""
    kind = _REGISTRY.get(topic)
    if kind is None:
        raise MalformedError(f"topic {topic[:80]!a} is not known to this program; a newer program may know it")
    try:
        return kind.model_validate_json(payload)
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
        raise MalformedError(f"event {topic} does not have its shape (at {where or 'top'})") from None
