"""Which requests are shown to be of a token's holder (DPoP, RFC 9449), and that each proof is used once.

Invariants:
- A proof is taken for this server's own URLs only: those that it was told, never the Host that a request names.
- A jti of a key is taken once while its proof could count. What is remembered is bounded; beyond it nothing is taken.
  Where several processes answer, it is taken once over all of them (infrastructure.api.shared).
"""

import threading
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from domain.errors import NotAuthorisedError, UnavailableError
from domain.time import SECOND_MS
from infrastructure.api.shared import Shared
from infrastructure.statements import dpop

WITHIN_S: Final = 60
"""How far a proof's instant may lie from ours."""
_MOST_REMEMBERED: Final = 1_000_000
_REMEMBERED_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request shows: scheme of its token ("bearer", "dpop"), DPoP proof if any, method and path."""

    scheme: str
    proof: str | None
    method: str
    path: str


class Proofs:
    """Checks proofs. Safe to call from several threads.

    Args:
        bases: this server's URLs without path, as clients name it: https://ledger.example.
        needed: whether a token without a key is no token here: everywhere but on loopback.

    Attributes:
        shared: what other processes know that answer requests of this ledger; None where there are none.
    """

    shared: Shared | None = None

    def __init__(self, bases: frozenset[str], *, needed: bool) -> None:
        self._bases = bases
        self.needed = needed
        self._lock = threading.Lock()
        self._span = 0
        self._now: set[bytes] = set()
        self._before: set[bytes] = set()

    def holder(self, asked: Asked, now_s: int, token: str | None) -> str | None:
        """Return the thumbprint of the key that a request is shown to come from; None where it shows none.

        Args:
            asked: the request.
            now_s: instant.
            token: the access token; None where one is asked for.

        Raises:
            RefusedError: when a proof is none, or not for this request and token, now, and for the first time.
        """
        if asked.proof is None:
            return None
        proof = dpop.read(asked.proof)
        urls = frozenset(base + asked.path for base in self._bases)
        dpop.require(proof, method=asked.method, urls=urls, now_s=now_s, within_s=WITHIN_S, token=token)
        name = sha256(f"{proof.jkt}\0{proof.jti}".encode()).digest()[:_REMEMBERED_BYTES]
        self._use_up(name, now_s)
        if self.shared is not None:
            self.shared.use_up(name, proof.issued_s, (proof.issued_s + WITHIN_S + 1) * SECOND_MS)
        return proof.jkt

    def _use_up(self, name: bytes, now_s: int) -> None:
        """Take a jti. Two spans are remembered, each as long as a proof may count: from -60 s to 60 s."""
        with self._lock:
            span = max(now_s // (2 * WITHIN_S), self._span)
            if span != self._span:
                self._before = self._now if span == self._span + 1 else set()
                self._now, self._span = set(), span
            if name in self._now or name in self._before:
                raise NotAuthorisedError("the DPoP proof was used before")
            if len(self._now) >= _MOST_REMEMBERED:
                raise UnavailableError("too many requests: try again")
            self._now.add(name)
