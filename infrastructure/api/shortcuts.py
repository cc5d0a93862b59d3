"""Answers that are in memory, given before any route is looked for: the ones that are asked for by the thousand.

Invariants:
- A shortcut gives, to the byte, what its route would give; whatever is not plain goes to the route: another spelling,
  another query, a body, what isn't in memory, a role that may not ask.
- Whoever gets here passed the gate. Who may ask the route says the table of rights, and nothing else; request lines and
  counts name the route that was passed by.
"""

import re
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from infrastructure.api.askers import Principal
from infrastructure.api.reads.answers import ANEW, FOREVER, reply
from infrastructure.api.reads.audit import ENTRY, TEXT, inclusion_row
from infrastructure.api.reads.queries import MAX_INDEX
from infrastructure.api.rights import RIGHTS
from infrastructure.api.state import Parts, Serving
from infrastructure.publish.places import tiles_of

_INDEX: Final = "(0|[1-9][0-9]{0,15})"
_WANTED: Final = re.compile(rf"/v1/audit/(entries|proofs)/{_INDEX}")
_SIZE: Final = re.compile(rf"size={_INDEX}".encode())
_BODY: Final = frozenset({b"content-length", b"transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Passed:
    """The route that an answer is of, by its declared path."""

    path: str


_ROUTES: Final = {name: Passed(f"/v1/audit/{name}/{{index}}") for name in ("entries", "proofs")}


class Shortcuts:
    """The shortcuts of one process.

    Args:
        serves: what it serves.
    """

    def __init__(self, serves: Serving) -> None:
        self._serves = serves

    def __call__(self, scope: Scope, who: Principal) -> Response | None:
        """Return the answer to a request, None where its route has to be asked.

        Raises:
            LedgerError: as the route would.
        """
        found = _WANTED.fullmatch(scope["path"]) if scope["method"] == "GET" else None
        parts = self._serves.parts
        if found is None or parts is None or who.log_id is None or any(name in _BODY for name, _ in scope["headers"]):
            return None
        route, index = _ROUTES[found[1]], int(found[2])
        if index > MAX_INDEX or who.role not in RIGHTS["GET", route.path]:
            return None
        made = (_entry if found[1] == "entries" else _proof)(parts, who, scope, index)
        if made is not None:
            scope["route"] = route
        return made


def _entry(parts: Parts, who: Principal, scope: Scope, index: int) -> Response | None:
    if scope["query_string"] or who.log_id is None:
        return None
    known = parts.published.remembered(tiles_of(parts.ledger, parts.ledger.log(who.log_id)), index)
    return None if known is None else reply(Request(scope), known, ENTRY, FOREVER)


def _proof(parts: Parts, who: Principal, scope: Scope, index: int) -> Response | None:
    if who.log_id is None:
        return None
    log = parts.ledger.log(who.log_id)
    tiles = tiles_of(parts.ledger, log)
    if not parts.published.at_hand(tiles):
        return None
    if not scope["query_string"]:
        return reply(Request(scope), parts.published.signed_proof(tiles, index), TEXT, ANEW)
    size = _SIZE.fullmatch(scope["query_string"])
    if size is None or int(size[1]) > MAX_INDEX:
        return None
    row = inclusion_row(parts, log.origin, tiles, index, int(size[1]))
    return reply(Request(scope), orjson.dumps(row), "application/json", FOREVER)
