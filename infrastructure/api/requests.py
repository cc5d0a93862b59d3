"""Names each request, and tells of it once it was answered: a line of the log, a span of a trace.

Spans go through the OpenTelemetry API to whatever SDK the process was started with (`opentelemetry-instrument`);
without one they are nothing. A trace that the client began (`traceparent`) is gone on with.

Invariants:
- An id that a client gives is taken if it is short and plain; any other is replaced. Every answer bears it.
- Of a request nothing is told but method, route template, status, length, time and whose key asked: no path, query,
  header, body or error text.
"""

import re
import secrets
import time
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infrastructure.log_lines import Log, Value

_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
_ID_BYTES: Final = 16
_MS: Final = 1000
_ERROR: Final = 500
_HEADER: Final = b"x-request-id"
_TRACE: Final = frozenset({b"traceparent", b"tracestate"})
_TRACER: Final = trace.get_tracer("enclave-ledger")


class Requests:
    """The layer around the application.

    Args:
        app: the application.
        log: takes a line for each request; None for none.
    """

    def __init__(self, app: ASGIApp, log: Log | None) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _HEADER), b"").decode("latin-1")
        name = given if _ID.fullmatch(given) else secrets.token_hex(_ID_BYTES)
        began_s, answer = time.perf_counter(), _Answer(send, name.encode())
        span = _TRACER.start_span("request", context=_context(scope), kind=trace.SpanKind.SERVER)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                await self._app(scope, receive, answer)
        finally:
            self._ended(scope, span, answer, name, round((time.perf_counter() - began_s) * _MS, 3))
            span.end()

    def _ended(self, scope: Scope, span: trace.Span, answer: "_Answer", name: str, took_ms: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "-"
        route = getattr(scope.get("route"), "path", "-")
        if span.is_recording():
            span.update_name(f"{method} {route}")
            span.set_attributes({"http.request.method": method, "http.route": route, "ledger.request_id": name})
            span.set_attribute("http.response.status_code", answer.status)
            if answer.status >= _ERROR:
                span.set_status(trace.StatusCode.ERROR)
        if self._log is None:
            return
        context = span.get_span_context()
        said: dict[str, Value] = {
            "request_id": name, "method": method, "route": route, "status": answer.status, "bytes": answer.sent,
            "ms": took_ms, "kid": getattr(scope.get("state", {}).get("principal"), "kid", None),
            "trace_id": trace.format_trace_id(context.trace_id) if context.is_valid else None,
        }  # fmt: skip
        self._log("request", said)


def _context(scope: Scope) -> Context | None:
    """Return the trace that the client began, if it says so."""
    carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"] if name in _TRACE}
    return propagate.extract(carrier) if carrier else None


class _Answer:
    """Passes an answer on with its request's id; knows its status and length."""

    def __init__(self, send: Send, name: bytes) -> None:
        self._send = send
        self._name = name
        self.status = 0
        self.sent = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (_HEADER, self._name)]}
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)
