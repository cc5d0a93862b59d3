"""What is logged of requests: enough to find one again, nothing of what it held."""

import io
import json
import re
import threading
import time
from pathlib import Path

import pytest
from opentelemetry import trace

from infrastructure.api import requests
from infrastructure.api.requests import Requests
from infrastructure.log_lines import JsonLog
from tests.api.service import Service, served
from tests.database import TestServer, postgres

__all__ = ["postgres"]

SECRET = "hunter2-content"
EXECUTION = "exec-0x" + "ab" * 16


def test_a_line_for_each_request_holds_ids_and_no_content(postgres: TestServer, tmp_path: Path) -> None:
    with served(postgres, tmp_path, options=("--log", "json")) as service:
        token = service.token("node.json")
        ask(service, token)
        process = service.process
        assert process is not None
        service.stop()
    lines = [json.loads(line) for line in service.ledger.said[-1].splitlines()]
    assert all({"at", "level", "event", "roles"} <= line.keys() for line in lines)
    requests_ = [line for line in lines if line["event"] == "request"]
    told = {(line["method"], line["route"], line["status"]) for line in requests_}
    assert told >= {
        ("GET", "/v1/nodes", 200), ("GET", "-", 401), ("GET", "/v1/assignments/{execution}", 404), ("-", "-", 401),
        ("POST", "/v1/token", 200), ("GET", "/healthz", 200),
    }  # fmt: skip
    named = next(line for line in requests_ if line["route"] == "/v1/nodes")
    assert (named["request_id"], len(named["kid"])) == ("client-chosen.1", 43)
    assert all(re.fullmatch(r"[0-9a-f]{32}|client-chosen\.1", line["request_id"]) for line in requests_)
    said = "".join(service.ledger.said[-1])
    for hidden in (SECRET, EXECUTION, token, "Traceback"):
        assert hidden not in said


def ask(service: Service, token: str) -> None:
    answer = service.ask("GET", "/v1/nodes", None, token, X_Request_Id="client-chosen.1")
    assert answer.headers["x-request-id"] == "client-chosen.1"
    for bad in ("x", "a" * 65, "line break here", SECRET * 9):
        answer = service.ask(
            "GET", f"/v1/{SECRET}?{SECRET}={SECRET}", X_Request_Id=bad, Authorization=f"Bearer {SECRET}"
        )
        assert (answer.status, len(answer.headers["x-request-id"])) == (401, 32)
    assert service.ask("GET", f"/v1/assignments/{EXECUTION}", None, token).status == 404
    assert service.ask("PROPFIND", "/v1/nodes").status == 401
    assert service.ask("GET", "/healthz").status == 200


def test_nobody_waits_for_a_reader_that_stalls_and_what_is_lost_is_counted() -> None:
    stalled = threading.Event()

    class Stalling(io.StringIO):
        def write(self, text: str, /) -> int:
            stalled.wait(10)
            return super().write(text)

    stream = Stalling()
    log = JsonLog({"roles": "api"}, stream)
    began_s = time.monotonic()
    for number in range(12_000):
        log("request", {"number": number, "long": "x" * 5_000 if number == 0 else None})
    assert time.monotonic() - began_s < 5
    stalled.set()
    log.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    lost = sum(line["count"] for line in lines if line["event"] == "lines dropped")
    assert lost + sum(line["event"] == "request" for line in lines) == 12_000
    assert lost >= 1_000
    assert all(len(line) < 4_096 for line in stream.getvalue().splitlines())


def test_a_span_has_the_route_and_goes_on_with_the_clients_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, object]] = []

    class Kept(trace.NonRecordingSpan):
        def is_recording(self) -> bool:
            return True

        def update_name(self, name: str) -> None:
            seen.append({"name": name})

        def set_attributes(self, attributes: object) -> None:
            seen.append({"attributes": attributes})

    class Tracer:
        def start_span(self, _name: str, context: object = None, **_: object) -> Kept:
            parent = trace.get_current_span(context).get_span_context()  # type: ignore[arg-type]
            seen.append({"trace": trace.format_trace_id(parent.trace_id)})
            return Kept(parent)

    monkeypatch.setattr(requests, "_TRACER", Tracer())
    lines: list[dict[str, object]] = []
    sent: list[object] = []

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        scope["route"] = type("Route", (), {"path": "/v1/{x}"})
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"four"})  # type: ignore[operator]

    async def send(message: object) -> None:
        sent.append(message)

    coroutine = Requests(app, lambda _event, members: lines.append(members))(  # type: ignore[arg-type]
        {
            "type": "http",
            "method": "GET",
            "headers": [(b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")],
        },
        None,  # type: ignore[arg-type]
        send,
    )
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert seen[0] == {"trace": "a" * 32}
    assert {"name": "GET /v1/{x}"} in seen
    assert (lines[0]["trace_id"], lines[0]["bytes"], lines[0]["status"]) == ("a" * 32, 4, 200)
