"""Randomness for keys, nonces, IVs, salts and jti: a port of its own, apart from the injected order of ids.

Invariants:
- The only adapter outside unit tests is the operating system's generator. It takes no seed: two runs with one seed
  never share an IV [a repeated (key, IV) pair breaks AES-GCM].
"""

import builtins
import os
from typing import Protocol


class Entropy(Protocol):
    """Source of unpredictable bytes."""

    def bytes(self, n: int) -> builtins.bytes:
        """Return `n` fresh random bytes."""
        ...


class SystemEntropy:
    """The operating system's generator (getrandom(2) where there is one)."""

    __slots__ = ()

    def bytes(self, n: int) -> builtins.bytes:
        """Return `n` fresh random bytes."""
        return os.urandom(n)
