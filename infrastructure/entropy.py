"""Randomness for keys, nonces, IVs, salts and jti: a port of its own, apart from the injected order of ids.

Invariants:
- The only adapter outside unit tests is the operating system's generator. It takes no seed: two runs with one seed
  never share an IV [a repeated (key, IV) pair breaks AES-GCM].
"""

import builtins
import os
import threading
from typing import Protocol

_SHORT_BYTES = 16
"""IVs, nonces and jti: nothing secret."""
_BLOCK_BYTES = 4096


class Entropy(Protocol):
    """Source of unpredictable bytes."""

    def bytes(self, n: int) -> builtins.bytes:
        """Return `n` fresh random bytes."""
        ...


class SystemEntropy:
    """The operating system's generator (getrandom(2) where there is one).

    Short values are cut from a block of each thread's own, every byte once: asking for each lets go of the interpreter,
    which costs a busy process 15 us. Keys are never part of a block.
    """

    __slots__ = ()

    def bytes(self, n: int) -> builtins.bytes:
        """Return `n` fresh random bytes."""
        if n > _SHORT_BYTES:
            return os.urandom(n)
        return _blocks.take(n)


class _Blocks(threading.local):
    """One block for each thread."""

    def __init__(self) -> None:
        self._block, self._at, self._process = b"", 0, 0

    def take(self, n: int) -> builtins.bytes:
        begin = self._at
        if begin + n > len(self._block) or self._process != os.getpid():  # a forked process must not repeat its parent
            self._block, self._process, begin = os.urandom(_BLOCK_BYTES), os.getpid(), 0
        self._at = begin + n
        return self._block[begin : begin + n]


_blocks = _Blocks()
