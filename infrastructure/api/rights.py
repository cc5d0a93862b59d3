"""Which role may ask which route: one table. What is not in it nobody may ask.

Invariants:
- Every route of the application stands here; the application is not made otherwise.
- A role says what kind of asker this is; whose log it asks about follows from its token, and from nothing else.
- To a role that may not ask, a route does not exist. To whom somebody else's token showed, only what is read exists.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from fastapi.routing import APIRoute
from starlette.requests import Request

from domain.errors import UnknownError
from infrastructure.api.problems import NOTHING, ProblemError


class Role(StrEnum):
    """What kind of asker a principal is."""

    NODE = "node"
    OPERATOR = "operator"
    ADMIN = "admin"
    SUBMITTER = "submitter"
    AUDITOR = "auditor"
    RESOLVER = "resolver"
    MONITOR = "monitor"
    RELEASER = "releaser"
    WITNESS = "witness"
    """Looks at the anchor log, and at nothing else."""
    SIGNATORY = "signatory"
    """Signs acts in a role that a tenant's policy names, and no other."""


OF_TENANTS: Final = frozenset({Role.ADMIN, Role.SUBMITTER, Role.AUDITOR, Role.RELEASER})
"""Roles that a tenant enrols in its own log."""
OF_SCOPES: Final = frozenset({Role.ADMIN, Role.AUDITOR, Role.RESOLVER, Role.MONITOR, Role.WITNESS})
"""Roles that a scope enrols in its own log."""
OF_PLATFORM: Final = {
    "admin": Role.OPERATOR,
    "operator": Role.OPERATOR,
    "auditor": Role.AUDITOR,
    "witness": Role.WITNESS,
}
"""What the root scope's own principals are where they ask about the platform."""

_MOST_NAMES: Final = 32

Route = tuple[str, str]
"""Method, and path as the application declares it."""

EVERYBODY: Final[frozenset[Route]] = frozenset(
    {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/openapi.json")}
)
"""Answered without a token."""
BY_STATEMENT: Final[frozenset[Route]] = frozenset(
    {("POST", "/v1/token"), ("POST", "/v1/nodes"), ("POST", "/v1/nodes/challenges"), ("POST", "/v1/nodes/evidence")}
)
"""Authenticated by what is signed in the body."""

_NODE: Final = frozenset({Role.NODE})
_RELEASER: Final = frozenset({Role.RELEASER})
_LOGS: Final = frozenset({Role.ADMIN, Role.AUDITOR, Role.OPERATOR, Role.RESOLVER})
"""Who may see the log of its token: entries, proofs, tiles."""
_WORK: Final = frozenset({Role.ADMIN, Role.AUDITOR, Role.SUBMITTER})
"""Who may see a tenant's work."""
_ABOUT: Final = frozenset(set(Role) - {Role.NODE, Role.RELEASER, Role.SIGNATORY, Role.WITNESS})
"""Who may see what its own log says of itself, and what everybody enrolled may know."""

_GOVERN: Final = frozenset({Role.ADMIN, Role.OPERATOR})
"""Who may hand in acts of governance: who has to have signed them, the act's own rules say."""

_DISPUTES: Final = _WORK | {Role.RESOLVER}
"""Who may read of disputes: a tenant's people their own part, of a scope's the resolvers and auditors.

Signatories find disputes as operators whose key the scope enrolled, and none else."""

RIGHTS: Final[dict[Route, frozenset[Role]]] = {
    ("GET", "/v1/nodes"): _NODE | _ABOUT,
    ("GET", "/v1/nodes/{name}"): _NODE | _ABOUT,
    ("POST", "/v1/assignments"): _NODE,
    ("GET", "/v1/assignments"): _NODE,
    ("GET", "/v1/assignments/{execution}"): _NODE,
    ("GET", "/v1/assignments/{execution}/module"): _NODE,
    ("POST", "/v1/reports"): _NODE,
    ("POST", "/v1/releases/waiting"): _RELEASER,
    ("GET", "/v1/releases/{execution}"): _RELEASER,
    ("POST", "/v1/releases"): _RELEASER,
    ("GET", "/v1/workloads"): _WORK,
    ("GET", "/v1/workloads/{workload}"): _WORK,
    ("GET", "/v1/executions/{execution}"): _WORK,
    ("GET", "/v1/why/{name}"): _WORK,
    ("GET", "/v1/cacs"): _WORK,
    ("GET", "/v1/cacs/feed"): _WORK,
    ("GET", "/v1/cacs/{cac}"): _WORK,
    ("GET", "/v1/subscriptions"): frozenset({Role.ADMIN, Role.AUDITOR}),
    ("POST", "/v1/subscriptions"): frozenset({Role.ADMIN}),
    ("POST", "/v1/subscriptions/endings"): frozenset({Role.ADMIN}),
    ("GET", "/v1/cacs/{cac}/statement"): _WORK,
    ("GET", "/v1/policies"): _ABOUT,
    ("GET", "/v1/clauses"): _ABOUT,
    ("GET", "/v1/tenants"): _ABOUT | {Role.SIGNATORY},
    ("GET", "/v1/scopes"): _ABOUT | {Role.SIGNATORY},
    ("GET", "/v1/usage"): frozenset({Role.ADMIN, Role.AUDITOR, Role.OPERATOR}),
    ("GET", "/v1/usage/statement"): frozenset({Role.ADMIN, Role.AUDITOR}),
    ("GET", "/v1/notices"): frozenset({Role.ADMIN, Role.AUDITOR, Role.MONITOR}),
    ("GET", "/v1/audit"): _LOGS,
    ("GET", "/v1/audit/history"): _LOGS,
    ("GET", "/v1/audit/entries/{index}"): _LOGS,
    ("GET", "/v1/audit/proofs/{index}"): _LOGS | _WORK | {Role.SIGNATORY},
    ("GET", "/v1/audit/consistency"): _LOGS | _WORK | {Role.SIGNATORY},
    ("GET", "/v1/audit/checkpoint"): _LOGS | _WORK | {Role.SIGNATORY},
    ("GET", "/v1/audit/tile/{path:path}"): _LOGS,
    ("GET", "/v1/audit/payload/{digest}"): _LOGS,
    ("GET", "/v1/audit/keys/{note}"): _LOGS,
    ("GET", "/v1/audit/bundle"): _LOGS,
    ("GET", "/v1/anchors/checkpoint"): frozenset(Role),
    ("GET", "/v1/anchors/tile/{path:path}"): frozenset(Role),
    ("GET", "/v1/feed"): _LOGS,
    ("POST", "/v1/workloads"): frozenset({Role.ADMIN, Role.SUBMITTER}),
    ("POST", "/v1/cancellations"): frozenset({Role.ADMIN, Role.SUBMITTER}),
    ("POST", "/v1/drafts"): _GOVERN | {Role.SIGNATORY, Role.RESOLVER},
    ("POST", "/v1/retries"): _GOVERN | {Role.SIGNATORY},
    ("POST", "/v1/policies"): _GOVERN,
    ("POST", "/v1/principals"): _GOVERN,
    ("POST", "/v1/principals/revocations"): _GOVERN,
    ("POST", "/v1/token-issuers"): _GOVERN,
    ("POST", "/v1/token-issuers/revocations"): _GOVERN,
    ("POST", "/v1/monitors"): _GOVERN,
    ("POST", "/v1/erasures"): _GOVERN,
    ("POST", "/v1/tenants/drafts"): _GOVERN,
    ("POST", "/v1/tenants"): _GOVERN,
    ("POST", "/v1/scopes/drafts"): _GOVERN,
    ("POST", "/v1/scopes"): _GOVERN,
    ("POST", "/v1/offers"): _GOVERN,
    ("POST", "/v1/offers/withdrawals"): _GOVERN,
    ("POST", "/v1/quotas"): _GOVERN,
    ("POST", "/v1/bandwidths"): _GOVERN,
    ("POST", "/v1/credentials"): _GOVERN,
    ("POST", "/v1/issuers"): _GOVERN,
    ("POST", "/v1/issuers/revocations"): _GOVERN,
    ("POST", "/v1/levels"): _GOVERN,
    ("POST", "/v1/nodes/drains"): _GOVERN,
    ("POST", "/v1/nodes/returns"): _GOVERN,
    ("POST", "/v1/clauses"): _GOVERN,
    ("POST", "/v1/clauses/deprecations"): _GOVERN,
    ("GET", "/v1/disputes"): _DISPUTES | {Role.SIGNATORY},
    ("GET", "/v1/disputes/{dispute}"): _DISPUTES | {Role.SIGNATORY},
    ("GET", "/v1/disputes/{dispute}/bundle"): frozenset({Role.RESOLVER}),
    ("GET", "/v1/involved"): _DISPUTES,
    ("POST", "/v1/disputes"): frozenset({Role.ADMIN, Role.RESOLVER}),
    ("POST", "/v1/disputes/{dispute}/answers"): frozenset({Role.ADMIN, Role.SIGNATORY}),
    ("POST", "/v1/disputes/{dispute}/evidence"): frozenset({Role.ADMIN, Role.RESOLVER, Role.SIGNATORY}),
    ("POST", "/v1/disputes/{dispute}/decisions"): frozenset({Role.RESOLVER}),
    ("POST", "/v1/disputes/{dispute}/withdrawals"): frozenset({Role.ADMIN, Role.RESOLVER}),
}


def missing(routes: Iterable[Route]) -> list[Route]:
    """Return the routes that stand nowhere in the tables."""
    return sorted(set(routes) - RIGHTS.keys() - EVERYBODY - BY_STATEMENT)


async def require_right(request: Request) -> None:
    """Let a request pass that its principal's role may ask, in the one spelling that it has.

    Raises:
        UnknownError: when the role may not.
        ProblemError: when the query names something twice, or the route takes no query.
    """
    route: APIRoute = request.scope["route"]
    key = (request.method, route.path)
    if key in BY_STATEMENT:
        return
    who = request.state.principal
    if who.role not in RIGHTS.get(key, frozenset()) or (who.admission and request.method != "GET"):
        raise UnknownError(NOTHING)
    _require_plain(request, route)


def _require_plain(request: Request, route: APIRoute) -> None:
    names = [name for name, _ in request.query_params.multi_items()]
    if not route.dependant.query_params and request.url.query:
        raise _malformed(names[0] if names else "", "this takes no query")
    if len(names) > _MOST_NAMES:
        raise _malformed(names[0], f"more than {_MOST_NAMES} members")
    for name in names:
        if names.count(name) > 1:
            raise _malformed(name, "given more than once")


def _malformed(name: str, detail: str) -> ProblemError:
    return ProblemError(
        400,
        f"the query is malformed: {detail}",
        members={"errors": [{"pointer": f"query/{name[:64]}", "detail": detail}]},
    )
