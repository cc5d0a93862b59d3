"""Conversations without I/O: a generator says what it needs next, and whoever runs it gives that, or throws the error.

Invariants:
- What decides, signs or verifies is in generators, so a blocking and an asynchronous client do the same, to the byte.
- Who runs one does each step, and nothing else; a generator's own errors go to who asked.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request: needs a `Reply`. `wait_s` is how long the server was asked to wait with its answer."""

    method: str
    path: str
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status, body, headers by lower-case name."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Pause:
    """Some time has to pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TokenNeeded:
    """A token is needed, another one than `instead_of`. Whoever runs this asks for one at a time."""

    instead_of: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Aside:
    """Work that may wait for a disk or a lock: needs what it returns."""

    work: Callable[[], Any]


Talk = Generator[Any, Any, T]
"""A conversation that comes to a T."""


def run(talk: Talk[T], do: Callable[[Any], Any]) -> T:
    """Run a conversation, blocking. `do` does a step, and returns what it needs or raises."""
    try:
        step = next(talk)
        while True:
            try:
                given = do(step)
            except Exception as error:  # noqa: BLE001 - the conversation decides what it means
                step = talk.throw(error)
            else:
                step = talk.send(given)
    except StopIteration as ended:
        found: T = ended.value
        return found
    finally:
        talk.close()


async def run_async(talk: Talk[T], do: Callable[[Any], Awaitable[Any]]) -> T:
    """Run a conversation on an event loop. Arguments as for `run`."""
    try:
        step = next(talk)
        while True:
            try:
                given = await do(step)
            except Exception as error:  # noqa: BLE001 - the conversation decides what it means
                step = talk.throw(error)
            else:
                step = talk.send(given)
    except StopIteration as ended:
        found: T = ended.value
        return found
    finally:
        talk.close()
