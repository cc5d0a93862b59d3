"""A fault of the program, and what the framework refuses by itself: problems that tell nothing of it (RFC 9457)."""

import asyncio
import json
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from infrastructure.api.app import make_app
from infrastructure.api.gate import Gate
from infrastructure.api.peers import Peers
from infrastructure.api.state import Serving

SECRET = "a row of /secret/path"


async def _asked(gate: Gate, method: str, path: str) -> tuple[int, dict[str, str], Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "scheme": "http", "http_version": "1.1",
        "root_path": "", "asgi": {"version": "3.0"},
    }  # fmt: skip
    await gate(scope, receive, send)
    body = b"".join(one.get("body", b"") for one in sent[1:])
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, json.loads(body)


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (RuntimeError(SECRET), 500), (KeyError(SECRET), 500), (HTTPException(500, SECRET), 500),
        (HTTPException(404, SECRET), 404), (HTTPException(405, SECRET), 405), (HTTPException(413, SECRET), 413),
        (HTTPException(431, SECRET), 431), (HTTPException(400, SECRET), 400),
    ],
)  # fmt: skip
def test_whatever_goes_wrong_in_a_route_is_a_problem_that_tells_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, status: int
) -> None:
    told: list[str] = []

    def broken(_: Serving) -> bool:
        raise raised

    monkeypatch.setattr(Serving, "ready", broken)
    gate = make_app(Serving(), told.append, Peers())
    answer, headers, problem = asyncio.run(_asked(gate, "GET", "/readyz"))
    assert (answer, problem["status"]) == (status, status)
    assert headers["content-type"] == "application/problem+json"
    assert problem.keys() == {"type", "title", "status", "detail"}
    assert SECRET not in json.dumps(problem) + "".join(told)
    assert bool(told) == (not isinstance(raised, HTTPException))


def test_another_method_of_what_is_public_is_a_problem() -> None:
    gate = make_app(Serving(), lambda _: None, Peers())
    status, headers, problem = asyncio.run(_asked(gate, "PUT", "/healthz"))
    assert (status, problem["status"], headers["allow"]) == (405, 405, "GET")
