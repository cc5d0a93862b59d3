"""Where ids and slots come from: UUIDv7 and random slots, from the operating system or, for demos, from a seed.

Ids are names, not secrets: a seeded source makes two demos comparable. Keys, nonces, salts and IVs never come from here
(infrastructure.entropy).
"""

import random
import secrets
from typing import Protocol
from uuid import UUID

from domain.identifiers import uuid7

_FIRST_SPACE = 64


class IdSource(Protocol):
    """Gives ids and slots."""

    def uuid(self, at_ms: int) -> UUID:
        """Return a new UUIDv7 for an instant."""
        ...

    def below(self, bound: int) -> int:
        """Return a number in [0, bound)."""
        ...


class SystemIds:
    """Ids from the operating system's generator."""

    def uuid(self, at_ms: int) -> UUID:
        """Return a new UUIDv7 for an instant."""
        return uuid7(at_ms, secrets.randbits(80))

    def below(self, bound: int) -> int:
        """Return a number in [0, bound)."""
        return secrets.randbelow(bound)


class SeededIds:
    """Ids that two runs with one seed share."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - names, not secrets

    def uuid(self, at_ms: int) -> UUID:
        """Return the next UUIDv7 of this seed for an instant."""
        return uuid7(at_ms, self._random.getrandbits(80))

    def below(self, bound: int) -> int:
        """Return the next number in [0, bound) of this seed."""
        return self._random.randrange(bound)


def free_slot(taken: frozenset[int], ids: IdSource) -> int:
    """Draw a slot at random from the free ones of a space of a power of two that stays at most half full.

    Slots say nothing and are never reused (wire formats 2 and 3).
    """
    space = _FIRST_SPACE
    while len(taken) >= space // 2:
        space *= 2
    free = [slot for slot in range(1, space) if slot not in taken]
    return free[ids.below(len(free))]
