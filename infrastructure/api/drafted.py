"""Registrations that this process drafted: the same one for the same question, and not without number.

A draft has a log with keys of its own, which stays, whether it is registered or not. What was drafted is this process's
memory: after a restart the same question makes another log.
"""

import threading
from collections.abc import Callable
from typing import Final

from domain.errors import RefusedError
from domain.tenants.events import ScopeRegisteredBelow, TenantRegistered

MOST_OPEN: Final = 16
"""Drafts of one scope that were not registered."""

Drafted = TenantRegistered | ScopeRegisteredBelow


class Drafts:
    """Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, dict[bytes, Drafted]] = {}

    def get(self, scope: str, asked: bytes, make: Callable[[], Drafted], is_open: Callable[[Drafted], bool]) -> Drafted:
        """Return the draft for a question.

        Args:
            scope: whose it is.
            asked: the question.
            make: makes it, with its log.
            is_open: tells whether a draft was not registered yet.

        Raises:
            RefusedError: when the scope has too many that were not.
        """
        with self._lock:
            known = {one: made for one, made in self._open.get(scope, {}).items() if is_open(made)}
            self._open[scope] = known
            if asked not in known:
                if len(known) >= MOST_OPEN:
                    raise RefusedError(f"{MOST_OPEN} registrations of this scope wait to be signed: finish one first")
                known[asked] = make()
            return known[asked]
