"""Bad requests: nothing is stored, and the answer says what was wrong."""

import hashlib
import json
import socket
from typing import Any

import pytest

from infrastructure.api.gate import MAX_BODY_BYTES, MAX_STRANGER_BODY_BYTES
from infrastructure.api.limits import Rate
from infrastructure.keys.wallet import Purpose
from infrastructure.statements import jws
from tests.api.service import Service, eventually


@pytest.fixture
def token(service: Service) -> str:
    return service.token("node.json")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"reports":[]}', b'{"report":1}', b'{"report":"a.b.c"}',
        b'{"report":"x","report":"x"}', b'{"report":"x","more":1}', b'{"report":"x","output":"*"}', b"\xff\xfe",
        b'{"reports":' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"report":NaN}',
        b'{"reports":[{"report":"x"}],"report":"x"}',
    ],
)  # fmt: skip
def test_malformed_bodies_are_400(service: Service, token: str, body: bytes) -> None:
    answer = service.ask("POST", "/v1/reports", body, token, Content_Type="application/json")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["detail"]


@pytest.mark.parametrize(
    "members",
    [
        {"limit": 0},
        {"limit": 65},
        {"wait_ms": -1},
        {"wait_ms": 60_001},
        {"limit": "1"},
        {"holding": ["x" * 65]},
        {"x": 1},
    ],
)
def test_what_is_out_of_range_is_named(service: Service, token: str, members: dict[str, Any]) -> None:
    answer = service.post("/v1/assignments", members, token)
    assert answer.status == 400
    assert next(iter(members)) in answer.json["detail"]


def test_bodies_beyond_the_bound_are_refused_unread(service: Service, token: str) -> None:
    lengths = (("/v1/reports", token, MAX_BODY_BYTES + 1), ("/v1/token", None, MAX_STRANGER_BODY_BYTES + 1))
    for path, given, length in lengths:
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as wire:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
            head += f"Authorization: Bearer {given}\r\n" if given else ""
            wire.sendall(head.encode() + b"\r\n")
            assert wire.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_is_bounded_as_well(service: Service, token: str) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as wire:
        head = (
            f"POST /v1/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        wire.sendall(head.encode())
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        answer = b""
        try:
            for _ in range(8):
                wire.sendall(chunk)
            answer = wire.recv(4096)
        except OSError:
            return  # it was cut
        assert answer.startswith(b"HTTP/1.1 413 ")


def test_reports_that_are_signed_by_another_or_of_another_execution_are_refused(service: Service, token: str) -> None:
    platform = "ledger.example/t/0"
    said = {"kind": "reset", "execution": "exec-0x" + "0" * 32, "seq": 0, "prev": "0" * 64}
    content = {**said, "iss": "x", "aud": platform, "jti": "0" * 32, "iat": 1, "exp": 2}
    own = jws.sign(jws.REPORT, service.wallet("node.json").key(Purpose.REPORT), content)
    others = jws.sign(jws.REPORT, service.wallet("two.json").key(Purpose.REPORT), content)
    assert service.post("/v1/reports", {"report": own}, token).status == 404
    assert service.post("/v1/reports", {"report": others}, token).status == 403
    answers = service.post("/v1/reports", {"reports": [{"report": own}, {"report": others}]}, token)
    assert [one["status"] for one in answers.json["answers"]] == [404, 424]


def test_a_report_without_a_signature_counts_only_where_a_batch_names_it(service: Service, token: str) -> None:
    wallet = service.wallet("node.json")
    bare = json.dumps(
        {"execution": "exec-0x" + "0" * 32, "kind": "reset", "prev": "0" * 64, "seq": 0}, separators=(",", ":")
    )
    named = {"kind": "batch", "reports": [hashlib.sha256(bare.encode()).hexdigest()]}
    content = {**named, "iss": "x", "aud": "ledger.example/t/0", "jti": "0" * 32, "iat": 1, "exp": 2}
    batch = jws.sign(jws.REPORT, wallet.key(Purpose.REPORT), content)
    assert service.post("/v1/reports", {"report": bare}, token).status == 400
    (answer,) = service.post("/v1/reports", {"reports": [{"report": bare}]}, token).json["answers"]
    assert answer["status"] == 400
    (answer,) = service.post("/v1/reports", {"reports": [{"report": bare}], "batches": [batch]}, token).json["answers"]
    assert answer["status"] == 404, "of another's execution it learns nothing"
    absent = service.post("/v1/reports", {"batches": [batch], "reports": [{"report": "{}"}]}, token)
    assert (absent.status, "did not come with it" in absent.json["detail"]) == (400, True)
    assert service.post("/v1/reports", {"reports": [{"report": bare}], "batches": ["x"]}, token).status == 400


def test_an_idempotency_key_must_be_the_statements_jti(service: Service, token: str) -> None:
    content = {"kind": "reset", "iss": "x", "aud": "y", "jti": "0" * 32, "iat": 1, "exp": 2}
    own = jws.sign(jws.REPORT, service.wallet("node.json").key(Purpose.REPORT), content)
    body = json.dumps({"report": own}).encode()
    answer = service.ask("POST", "/v1/reports", body, token, Idempotency_Key="1" * 32)
    assert (answer.status, "Idempotency-Key" in answer.json["detail"]) == (400, True)


def test_who_asks_too_often_is_told_when_to_come_again() -> None:
    rate = Rate(per_s=10, burst=2)
    assert [rate.take("a", 0.0), rate.take("a", 0.0), rate.take("b", 0.0)] == [0, 0, 0]
    assert rate.take("a", 0.0) == 1
    assert rate.take("a", 0.2) == 0


def test_a_long_poll_ends_with_the_process(service: Service) -> None:
    token = service.token("node.json")
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as wire:
        body = b'{"wait_ms":30000}'
        head = f"POST /v1/assignments HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        wire.sendall(f"{head}Authorization: Bearer {token}\r\n\r\n".encode() + body)
        eventually(lambda: service.ask("GET", "/healthz").status == 200)
        assert service.stop() == 0
        assert b'{"assignments":[]}' in wire.recv(4096)
    service.start()
