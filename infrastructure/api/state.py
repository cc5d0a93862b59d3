"""What the routes of one process share."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from starlette.requests import Request

from domain.errors import UnknownError
from infrastructure.api.access import Access
from infrastructure.api.accesses import Accesses
from infrastructure.api.askers import Principal
from infrastructure.api.drafted import Drafts
from infrastructure.api.exports import Exports
from infrastructure.api.limits import Places
from infrastructure.api.metrics import Metrics, Requests
from infrastructure.api.problems import NOTHING, busy
from infrastructure.api.published import Published
from infrastructure.cell import LiveCell
from infrastructure.feed.subscriptions import Subscriptions
from infrastructure.ledger import Ledger

MOST_FEEDS: Final = 256
MOST_EXPORTS: Final = 2


@dataclass(frozen=True, slots=True)
class Parts:
    """The ledger, its cell, who knows tokens, who counts reads; what feeds, is published, drafted, exported."""

    ledger: Ledger
    cell: LiveCell
    access: Access
    accesses: Accesses
    feeds: Subscriptions
    published: Published = field(default_factory=Published)
    drafted: Drafts = field(default_factory=Drafts)
    exports: Exports | None = None


@dataclass(slots=True)
class Serving:
    """What this process serves. `parts` come when it is ready; `stopping` is set when it is to end.

    `works`: what has no parts is ready, too: a process without the role that answers requests. `metrics` every one has.
    """

    works: bool = False
    parts: Parts | None = None
    metrics: Metrics | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    requests: Requests = field(default_factory=Requests)
    feeds: Places = field(default_factory=lambda: Places(MOST_FEEDS))
    exports: Places = field(default_factory=lambda: Places(MOST_EXPORTS, share=1))

    def access(self) -> Access | None:
        """Return who knows tokens, None before this is ready or when it ends."""
        return None if self.parts is None or self.stopping.is_set() else self.parts.access

    def answered(self, who: Principal, method: str, path: str, status: int) -> None:
        """Take note of a request that was answered."""
        if self.parts is not None:
            self.parts.accesses.count(who, method, path, status)

    def ready(self) -> bool:
        """Tell whether this process does what it is for."""
        return (self.parts is not None or self.works) and not self.stopping.is_set()

    def need(self) -> Parts:
        """Return the parts.

        Raises:
            ProblemError: before this is ready.
        """
        if self.parts is None:
            raise busy("not ready yet: try again")
        return self.parts


def serving(request: Request) -> Serving:
    """Return what this process serves."""
    found: Serving = request.app.state.serving
    return found


def principal(request: Request) -> Principal:
    """Return who asks, as the gate found out."""
    found: Principal = request.state.principal
    return found


def asker(request: Request) -> tuple[Principal, UUID]:
    """Return who asks, and the log that it may ask about.

    Raises:
        UnknownError: when it is a node: to it there is nothing here.
    """
    found = principal(request)
    if found.log_id is None:
        raise UnknownError(NOTHING)
    return found, found.log_id
