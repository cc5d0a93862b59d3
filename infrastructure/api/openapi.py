"""The document of the API (OpenAPI 3.1): FastAPI's own, with what only the tables and the gate know.

Invariants:
- Each operation says which roles may ask it, what it takes in its body, and every status that it answers with; what
  else there is (500) is a fault of the program.
- What it says of a body is the model that reads it.
"""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from infrastructure.api import assignments, machines, nodes, releases, reports, tokens
from infrastructure.api.gate import BODY_S, MAX_BODY_BYTES
from infrastructure.api.problems import MEDIA_TYPE
from infrastructure.api.reads.shapes import FieldError, Problem
from infrastructure.api.rights import BY_STATEMENT, EVERYBODY, RIGHTS, Route
from infrastructure.api.writes import disputes, drafts, governance, registering, shapes, workloads

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_REF: Final = "#/components/schemas/"
_TEXT: Final[dict[str, str]] = {"type": "string"}
_EXCHANGE: Final = ("grant_type", "subject_token", "subject_token_type", "audience")
_TOKEN: Final = {
    "oneOf": [
        {
            "type": "object",
            "required": ["grant_type", "assertion"],
            "properties": {"grant_type": {"const": tokens.GRANT_TYPE}, "assertion": {**_TEXT, "format": "jws"}},
            "additionalProperties": False,
        },
        {
            "type": "object",
            "required": list(_EXCHANGE),
            "properties": {
                **dict.fromkeys((*_EXCHANGE, "scope", "requested_token_type"), _TEXT),
                "grant_type": {"const": tokens.EXCHANGE},
            },
            "additionalProperties": False,
        },
    ]
}
_BODIES: Final[dict[Route, tuple[type[BaseModel], ...]]] = {
    ("POST", "/v1/nodes"): (nodes.Enrolment,),
    ("POST", "/v1/nodes/challenges"): (machines.ChallengeRequest,),
    ("POST", "/v1/nodes/evidence"): (machines.MachineProof,),
    ("POST", "/v1/assignments"): (assignments.Asked,),
    ("POST", "/v1/reports"): (reports.Report, reports.Reports),
    ("POST", "/v1/releases/waiting"): (releases.Asked,),
    ("POST", "/v1/releases"): (releases.Said,),
    ("POST", "/v1/workloads"): (workloads.Submission,),
    ("POST", "/v1/cancellations"): (workloads.Cancellation,),
    ("POST", "/v1/drafts"): (drafts.DraftOf,),
    **{("POST", path): (kind,) for path, (_, kind) in governance.PATHS.items()},
    **{("POST", path): (kind,) for path, kind in registering.BODIES.items()},
    **{("POST", path): (one.body,) for path, one in disputes.PATHS.items()},
}
_NAMES: Final[dict[type[BaseModel], str]] = {assignments.Asked: "AssignmentsAsked", releases.Asked: "ReleasesAsked"}
"""Models that share a name."""
_MEDIA: Final = {
    "/v1/audit/entries/{index}": "application/ledger-entry+cose",
    "/v1/audit/checkpoint": "text/plain",
    "/v1/audit/tile/{path}": "application/octet-stream",
    "/v1/audit/payload/{digest}": "application/octet-stream",
    "/v1/audit/keys/{note}": "text/plain",
    "/v1/anchors/checkpoint": "text/plain",
    "/v1/anchors/tile/{path}": "application/octet-stream",
    "/v1/audit/bundle": "application/x-tar",
    "/v1/disputes/{dispute}/bundle": "application/x-tar",
    "/v1/cacs/{cac}/statement": "application/scitt-statement+cose",
    "/v1/feed": "text/event-stream",
    "/v1/assignments/{execution}/module": "application/wasm",
}
"""What is answered there, where it is no JSON."""
_EVENTS: Final = "Server-sent events: the id is a leaf index, the event a topic, the data an Entry."
_WRITTEN: Final = {
    ("POST", path)
    for path in ("/v1/workloads", "/v1/cancellations", "/v1/tenants", "/v1/scopes", *governance.PATHS, *disputes.PATHS)
}
_CREATED: Final = frozenset({*(BY_STATEMENT - {("POST", "/v1/token")}), *_WRITTEN})
_ANSWERS: Final[dict[Route, tuple[type[BaseModel], ...]]] = {
    ("POST", "/v1/token"): (shapes.Token, shapes.Exchanged),
    ("POST", "/v1/nodes"): (shapes.Enrolled,),
    ("POST", "/v1/nodes/challenges"): (shapes.Acknowledged,),
    ("POST", "/v1/nodes/evidence"): (shapes.Acknowledged,),
    ("POST", "/v1/assignments"): (shapes.Assignments,),
    ("GET", "/v1/assignments"): (shapes.Standings,),
    ("GET", "/v1/assignments/{execution}"): (shapes.Standing,),
    ("POST", "/v1/reports"): (shapes.Taken, shapes.Answers),
    ("POST", "/v1/releases/waiting"): (shapes.Waiting,),
    ("GET", "/v1/releases/{execution}"): (shapes.Offer,),
    ("POST", "/v1/releases"): (shapes.Released,),
    ("POST", "/v1/drafts"): (shapes.Draft,),
    ("POST", "/v1/tenants/drafts"): (shapes.RegistrationDraft,),
    ("POST", "/v1/scopes/drafts"): (shapes.RegistrationDraft,),
    **dict.fromkeys(_WRITTEN, (shapes.Stored,)),
}
"""What is answered in JSON where the route itself doesn't declare it."""
_UNTAGGED: Final = ("/v1/assignments", "/v1/releases", "/v1/feed", "/v1/audit/bundle", "/v1/disputes/{dispute}/bundle")
"""Reads that are never answered with 304."""
_PUBLIC: Final = ("400", "429", "503")
_STATEMENT: Final = ("400", "401", "408", "409", "413", "429", "503")
_READ: Final = ("400", "401", "403", "404", "408", "410", "413", "422", "429", "503")
_WRITE: Final = (*_READ, "409")
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Idempotency-Key": {
        "description": "The statement's own jti; any other is refused.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "Last-Event-ID": {
        "description": "The id of the last event that is known; it stands above `after`.",
        "schema": {"type": "string", "pattern": "^(0|[1-9][0-9]{0,15})$"},
    },
}
_TAKES: Final[dict[Route, str]] = {
    ("GET", "/v1/feed"): "Last-Event-ID",
    **dict.fromkeys((*_WRITTEN, ("POST", "/v1/reports")), "Idempotency-Key"),
}
"""Fields of the request that a route looks at, beside those of HTTP itself."""
_LIMITS: Final = (
    f"A body has {MAX_BODY_BYTES} bytes at most (413), without a token fewer, and arrives within {BODY_S:.0f} s (408). "
    "Beyond what one may ask in a second the answer is 429, beyond what there is room for 503; both say after how many "
    "seconds to ask again (Retry-After), and nothing was taken in."
)


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of an application."""
    made = get_openapi(
        title="Enclave Ledger",
        version=version("enclave-ledger"),
        description="Tokens are given out at /v1/token for an assertion (RFC 7523) by an enrolled key, or for a "
        "token of an OpenID provider that the log admits (RFC 8693), which then only reads; beyond loopback they are "
        "bound to a key (DPoP, RFC 9449). What a token's log does not hold is answered as what does not "
        "exist. Whatever is refused is a problem (RFC 9457). " + _LIMITS,
        routes=app.routes,
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (Problem, FieldError):
        _add(schemas, model, model.__name__)
    schemas["Problem"]["properties"]["errors"] = {"type": "array", "items": {"$ref": f"{_REF}FieldError"}}
    made["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "On loopback only."},
        "dpop": {"type": "http", "scheme": "dpop", "description": "With a proof in the field DPoP (RFC 9449)."},
    }
    for path in list(made["paths"]):
        plain = path.replace("{path:path}", "{path}")
        made["paths"][plain] = made["paths"].pop(path)
        for method, operation in made["paths"][plain].items():
            _complete(operation, (method.upper(), path), plain, schemas)
    return made


def _complete(operation: dict[str, Any], route: Route, path: str, schemas: dict[str, Any]) -> None:
    declared = (route[0], route[1].replace("{path}", "{path:path}"))
    roles = RIGHTS.get(route) or RIGHTS.get(declared)
    operation["security"] = [{"bearer": []}, {"dpop": []}] if roles else []
    if roles:
        operation["x-roles"] = sorted(roles)
    _tell_answers(operation["responses"], route, path, schemas)
    for status in _refusals(route, of_roles=bool(roles)):
        operation["responses"].setdefault(status, _problem())
    field = _TAKES.get(route)
    if field is not None:
        operation.setdefault("parameters", []).append({"name": field, "in": "header", **_HEADERS[field]})
    if route == ("POST", "/v1/token"):
        operation["requestBody"] = {"required": True, "content": {_FORM: {"schema": _TOKEN}}}
    elif route in _BODIES:
        schema = _named(schemas, _BODIES[route], "oneOf")
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": schema}}}


def _tell_answers(answers: dict[str, Any], route: Route, path: str, schemas: dict[str, Any]) -> None:
    """Complete what is said of good answers."""
    answers.pop("422", None)
    good = answers["200"]
    if path in _MEDIA:
        schema = {"description": _EVENTS} if path == "/v1/feed" else {"type": "string"}
        good["content"] = {_MEDIA[path]: {"schema": schema}}
    elif route in _ANSWERS:
        good["content"] = {_JSON: {"schema": _named(schemas, _ANSWERS[route], "anyOf")}}
    if path == "/v1/audit/proofs/{index}":
        good["content"]["text/plain"] = {"schema": {"type": "string"}}
    if route in _CREATED:
        answers["201"] = answers.pop("200")
    if path == "/openapi.json":
        good["content"] = {_JSON: {"schema": {"type": "object"}}}
    if route[0] == "GET" and route not in EVERYBODY - {("GET", "/openapi.json")} and not path.startswith(_UNTAGGED):
        answers["304"] = {"description": "The client has it already."}


def _refusals(route: Route, *, of_roles: bool) -> tuple[str, ...]:
    if of_roles:
        return _READ if route[0] == "GET" else _WRITE
    return _STATEMENT if route in BY_STATEMENT else _PUBLIC


def _named(schemas: dict[str, Any], models: tuple[type[BaseModel], ...], of: str) -> dict[str, Any]:
    """Add models; return the schema of what is one of them."""
    found = [{"$ref": f"{_REF}{_add(schemas, one, _NAMES.get(one, one.__name__))}"} for one in models]
    return found[0] if len(found) == 1 else {of: found}


def _problem() -> dict[str, Any]:
    return {"description": "A problem (RFC 9457).", "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_REF}Problem"}}}}


def _add(schemas: dict[str, Any], model: type[BaseModel], name: str) -> str:
    """Add a model's schema and those that it names; return its own name."""
    schema = model.model_json_schema(ref_template=_REF + "{model}")
    for inner, its in _defined(schema):
        schemas.setdefault(inner, its)
    schemas[name] = schema
    return name


def _defined(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from schema.pop("$defs", {}).items()
