"""Standing offers: under which a pool's operator takes work that no primary node has room for."""

from typing import Annotated, ClassVar

from pydantic import Field

from domain.message import Event
from domain.policies.kinds import Word
from domain.time import MAX_INSTANT_MS

MAX_AMOUNT = 2**48
Most = Annotated[int, Field(ge=1, le=MAX_AMOUNT)]


class OfferStood(Event):
    """The operator takes overflow on its nodes of a pool, from now until `until_ms`; instead of what it offered before.

    Attributes:
        number: of the offer, 0 first: the version of the event in its stream.
        pool: not the primary one.
        operator: as its nodes' credentials name it; the offer is for those of them that are in the pool.
        kid: thumbprint of the operator's key.
        public_key: raw Ed25519, in hex.
        slots: that overflow may hold there at once, None for all that the nodes have.
        memory_bytes: the same of memory.
        until_ms: from when on it is in force no more.
        statement: the operator's, by that key.
        appointed: the cell's operator says that this key speaks for the operator there: the root's admins.
    """

    TOPIC: ClassVar[str] = "pool.offer_stood.v1"

    number: Annotated[int, Field(ge=0)]
    pool: Word
    operator: Word
    kid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    slots: Most | None
    memory_bytes: Most | None
    until_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
    statement: str
    appointed: tuple[str, ...]


class OfferWithdrawn(Event):
    """The offer of that number is over: its operator says so, or the cell's (`statements`). What runs there goes on."""

    TOPIC: ClassVar[str] = "pool.offer_withdrawn.v1"

    number: Annotated[int, Field(ge=0)]
    pool: Word
    operator: Word
    statements: tuple[str, ...]
