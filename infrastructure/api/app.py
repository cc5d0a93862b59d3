"""The application: routes inside the gate, and everything that is refused as a problem."""

from http import HTTPStatus

from fastapi import APIRouter, Depends, FastAPI, params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import LedgerError, RefusedError
from infrastructure.api import assignments, machines, nodes, public, releases, reports, tokens
from infrastructure.api.gate import Gate, Tell
from infrastructure.api.limits import Allowed
from infrastructure.api.peers import Peers
from infrastructure.api.problems import NOTHING, ProblemError, problem_of
from infrastructure.api.reads import about, anchors, audit, bundle, disputed, feed, notices, subscriptions, usage, work
from infrastructure.api.reads.queries import malformed
from infrastructure.api.rights import Route, missing, require_right
from infrastructure.api.shortcuts import Shortcuts
from infrastructure.api.state import Serving
from infrastructure.api.writes import disputes, drafts, governance, registering, workloads

_WORDS = {
    HTTPStatus.NOT_FOUND: NOTHING,
    HTTPStatus.METHOD_NOT_ALLOWED: "this takes another method",
}


_READS = (subscriptions, work, about, usage, notices, audit, anchors, bundle, feed, disputed)
_WRITES = (workloads, governance, drafts, registering, disputes)
_ROUTERS = tuple(one.router for one in (tokens, machines, nodes, assignments, reports, releases, *_READS, *_WRITES))


def declared() -> list[Route]:
    """Return every route of the application, as it is declared."""
    return [(method, one.path) for one in _routes() for method in one.methods or ()]


def _routes() -> list[APIRoute]:
    return [one for router in (*_ROUTERS, public.router) for one in router.routes if isinstance(one, APIRoute)]


def make_app(serves: Serving, tell: Tell, peers: Peers, allowed: Allowed | None = None) -> Gate:
    """Return the application.

    Args:
        serves: what this process serves.
        tell: is told of faults of the program, by kind.
        peers: tells strangers apart.
        allowed: how many requests a second are taken; None: the defaults.
    """
    # its own spans and logs would hold paths and texts of errors: ours are in infrastructure.api.requests
    silent: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=silent)
    app.state.serving = serves
    lacking = missing(declared())
    if lacking:
        raise RefusedError(f"routes that no role may ask: {lacking}")
    for router in _ROUTERS:
        _add(app, router, [Depends(require_right)])
    _add(app, public.router, [])
    app.add_exception_handler(LedgerError, _refused)
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _not_here)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(Exception, _unforeseen)
    return Gate(
        app, serves.access, tell, peers, serves.answered, serves.requests, allowed or Allowed(), Shortcuts(serves)
    )


def _add(app: FastAPI, router: APIRouter, dependencies: list[params.Depends]) -> None:
    """Add a router's routes one by one: a tree of routers is walked anew for each request, and that costs 0.2 ms."""
    for one in router.routes:
        if isinstance(one, APIRoute):
            app.router.add_api_route(
                one.path, one.endpoint, methods=sorted(one.methods or ()), name=one.name, dependencies=dependencies,
                response_model=one.response_model, response_class=one.response_class,
            )  # fmt: skip


async def _refused(_: Request, error: Exception) -> Response:
    return problem_of(error).response() if isinstance(error, LedgerError) else _fault()


async def _problem(_: Request, error: Exception) -> Response:
    return error.response() if isinstance(error, ProblemError) else _fault()


async def _not_here(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return _fault()
    status = HTTPStatus(error.status_code)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _fault()
    headers = {"Allow": _allowed(request.scope["path"])} if status is HTTPStatus.METHOD_NOT_ALLOWED else None
    return ProblemError(status, _WORDS.get(status, "this can't be served"), headers=headers).response()


def _allowed(path: str) -> str:
    """Return the methods that are documented for a path: one without names goes before one with them."""
    found = [one for one in _routes() if one.path == path] or [one for one in _routes() if one.path_regex.match(path)]
    return ", ".join(sorted({method for one in found for method in one.methods or ()}))


async def _unforeseen(_: Request, __: Exception) -> Response:
    """Answer for a fault of the program, whatever it is: nothing of it. The gate is told of it besides."""
    return _fault()


def _fault() -> Response:
    return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the program").response()
