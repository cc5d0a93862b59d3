"""How a statement is taken in over HTTP, whatever it says.

Invariants:
- The command is the one that the command line uses: what counts is decided there.
- The statement's jti is the command's id; an Idempotency-Key, where there is one, is the same.
- What stores holds one of a few threads. Beyond those that may wait for one, a request is told at once to try again;
  nothing of it was taken in.
- A known jti gets the first answer: the same members and places. Its acknowledgements are signed anew.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import MalformedError
from infrastructure.api.bodies import answered
from infrastructure.api.limits import Places
from infrastructure.api.problems import busy
from infrastructure.api.receipts import acknowledged
from infrastructure.api.state import principal
from infrastructure.ledger import Answer, Ledger
from infrastructure.statements import jws

AT_ONCE: Final = 16
"""Requests that store at once: they share their commits."""
MOST_WAITING: Final = 240
"""Requests that may wait for their turn beside them."""
_JTI: Final = re.compile(r"[0-9a-f]{32}")

T = TypeVar("T")


class Turns:
    """The threads on which requests store, and how many wait for one. Of one thread: the event loop's.

    Args:
        at_once: threads.
        most_waiting: requests that may wait.
    """

    def __init__(self, at_once: int = AT_ONCE, most_waiting: int = MOST_WAITING) -> None:
        self._limiter = CapacityLimiter(at_once)
        self._places = Places(at_once + most_waiting)

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """Run what stores, in its turn.

        Args:
            name: whose share of the places it takes.
            work: what stores.

        Raises:
            ProblemError: when too many wait (503 with Retry-After); nothing was done.
        """
        if not self._places.enter(name):
            raise busy("the ledger takes no more at the moment: try again")
        try:
            return await to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._places.leave(name)


_turns: list[Turns] = []


async def in_turn(name: str, work: Callable[[], T]) -> T:
    """Run what stores, in its turn. Arguments and errors as for `Turns.run`."""
    if not _turns:
        _turns.append(Turns())
    return await _turns[0].run(name, work)


async def stored(request: Request, token: str, work: Callable[[], dict[str, Any]]) -> Response:
    """Take a statement in, and answer with what became of it.

    Args:
        request: the request.
        token: the statement, or the first of several over one payload.
        work: carries it out.
    """
    check_key(request, token)
    return answered(await in_turn(principal(request).share, work), HTTPStatus.CREATED)


def check_key(request: Request, token: str) -> None:
    """Hold an Idempotency-Key, where there is one, against the statement's jti.

    Raises:
        MalformedError: when it is another.
    """
    keys = request.headers.getlist("idempotency-key")
    if keys and (len(keys) > 1 or not _JTI.fullmatch(keys[0]) or jws.peek(token)[1]["jti"] != keys[0]):
        raise MalformedError("the Idempotency-Key is not the statement's jti")


def told(ledger: Ledger, log_id: UUID, token: str, answer: Answer) -> Answer:
    """Return what a statement was answered first: the answer itself, unless it is a repeat's, which stores nothing.

    Args:
        ledger: the ledger.
        log_id: the log whose command the statement is.
        token: the statement, or the first of several.
        answer: what the command said.
    """
    if answer.recorded:
        return answer
    content = jws.peek(token)[1]
    return ledger.answered_before(log_id, content["iss"], content["jti"]) or answer


def members(ledger: Ledger, log_id: UUID, token: str, answer: Answer) -> dict[str, Any]:
    """Return an answer's members: the statement's id, what was answered, where its events lie, their acknowledgements.

    Arguments as for `told`.
    """
    first = told(ledger, log_id, token, answer)
    places = [
        {"leaf_index": one.leaf_index, "leaf_hash": one.leaf_hash.hex(), "topic": one.event.TOPIC}
        for one in first.recorded
        if one.log_id == log_id
    ]
    jti = jws.peek(token)[1]["jti"]
    return {"jti": jti, **first.answer, "places": places, "acknowledgements": acknowledged(first)}
