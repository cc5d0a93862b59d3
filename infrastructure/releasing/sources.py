"""Where a releaser finds what waits for it: a ledger over HTTP, or one in this very installation."""

import base64
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol

from domain.errors import ConflictError, LedgerError, RefusedError, UnavailableError, UnknownError
from domain.time import SECOND_MS
from infrastructure.cell import awaiting
from infrastructure.commands.loading import find_log
from infrastructure.commands.offers import offer
from infrastructure.commands.releases import refuse, release, require_own
from infrastructure.decider import Decider
from infrastructure.exchange.answers import AnsweredError
from infrastructure.exchange.blocking import Client
from infrastructure.ledger import Ledger

MOST_HELD: Final = 4096
"""So many executions may be named as settled when it is asked again."""
_LOOK_S: Final = 0.2
_KINDS: Final[dict[int, type[LedgerError]]] = {
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.NOT_FOUND: UnknownError,
}


class Source(Protocol):
    """A ledger, as a releaser needs it. Everything is safe to repeat."""

    def waiting(self, holding: Collection[str], wait_s: float) -> list[str]:
        """Return executions that wait for a release, but for those in `holding`; wait so long for one.

        Raises:
            LedgerError: when it can't be had.
        """
        ...

    def offer(self, execution_id: str) -> Mapping[str, Any]:
        """Return what is to be judged of one. Raises as `waiting` does."""
        ...

    def release(self, token: str, inputs: Sequence[bytes]) -> Mapping[str, Any]:
        """Hand a release in; return {"released": bool, "reason": str}.

        Raises:
            ConflictError: when inputs were released already.
            RefusedError: when it is refused for good.
            UnavailableError: when it is not known: the same is to be sent again.
        """
        ...

    def refuse(self, token: str) -> Mapping[str, Any]:
        """Hand a refusal in; the attempt ends. Raises as `release` does."""
        ...


class HttpSource:
    """A ledger over HTTP.

    Args:
        client: speaks with the releaser's key.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def waiting(self, holding: Collection[str], wait_s: float) -> list[str]:
        """Return what waits."""
        asked = {"wait_ms": int(wait_s * SECOND_MS), "holding": sorted(holding)[:MOST_HELD]}
        found = _answered(lambda: self._client.post("/v1/releases/waiting", asked, wait_s=wait_s))
        return _texts(found.get("executions"))

    def offer(self, execution_id: str) -> Mapping[str, Any]:
        """Return what is to be judged."""
        return _answered(lambda: self._client.get(f"/v1/releases/{execution_id}"))

    def release(self, token: str, inputs: Sequence[bytes]) -> Mapping[str, Any]:
        """Hand a release in."""
        members = {"release": token, "inputs": [base64.b64encode(one).decode() for one in inputs]}
        return _answered(lambda: self._client.post("/v1/releases", members))

    def refuse(self, token: str) -> Mapping[str, Any]:
        """Hand a refusal in."""
        return _answered(lambda: self._client.post("/v1/releases", {"refusal": token}))


class LocalSource:
    """A ledger that is open in this process.

    Args:
        ledger: the ledger.
        tenant: whose, as DAO/JUR or by id.
        stopping: tells whether to wait no longer.
    """

    def __init__(self, ledger: Ledger, tenant: str, stopping: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._log = find_log(ledger, tenant)
        self._decider = Decider(ledger)
        self._stopping = stopping

    def waiting(self, holding: Collection[str], wait_s: float) -> list[str]:
        """Return what waits."""
        until_s = time.monotonic() + wait_s
        while True:
            found = [one for one in awaiting(self._decider.catch_up(), self._log.slot) if one not in holding]
            if found or self._stopping() or time.monotonic() >= until_s:
                return found
            time.sleep(_LOOK_S)

    def offer(self, execution_id: str) -> Mapping[str, Any]:
        """Return what is to be judged."""
        return offer(self._ledger, require_own(self._ledger, self._log.log_id, execution_id))

    def release(self, token: str, inputs: Sequence[bytes]) -> Mapping[str, Any]:
        """Hand a release in."""
        return release(self._ledger, self._decider.catch_up(), token, inputs).answer

    def refuse(self, token: str) -> Mapping[str, Any]:
        """Hand a refusal in."""
        return refuse(self._ledger, token).answer


def _answered(ask: Callable[[], Any]) -> dict[str, Any]:
    try:
        found = ask()
    except AnsweredError as error:
        raise _KINDS.get(error.status, RefusedError)(str(error)) from None
    except ValueError:
        raise UnavailableError("the ledger's answer is no JSON") from None
    if not isinstance(found, dict):
        raise UnavailableError("the ledger's answer is no object")
    return found


def _texts(found: object) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise UnavailableError("the ledger does not say which executions wait")
    return found
