"""Beyond loopback: TLS, tokens bound to keys, and heads of requests that have to come in time."""

import datetime as dt
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from domain.errors import MalformedError, UnavailableError
from infrastructure.api import heads
from infrastructure.api.serve import Outside, listen
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange.blocking import Client
from infrastructure.exchange.session import GRANT_TYPE
from infrastructure.keys.wallet import Purpose
from infrastructure.statements import jws
from tests.api.service import Service, ended, eventually, served
from tests.api.test_access import claims
from tests.database import TestServer


def certify(folder: Path) -> None:
    """Write a certificate for this machine's loopback address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a ledger")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A ledger that listens on every address, with TLS of its own."""
    folder = tmp_path_factory.mktemp("outside")
    certify(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outside = ("--host", "0.0.0.0", "--tls-cert", "cert.pem", "--tls-key", "key.pem")  # noqa: S104 - that is the case
    with served(postgres, folder, port=port, options=(*outside, "--url", f"https://127.0.0.1:{port}")) as made:
        yield made


def test_a_node_works_over_tls_with_roots_that_it_was_told(service: Service) -> None:
    before = service.rows("cac.issued.v1")
    node = service.node("node.json", "--ca", "cert.pem")
    service.submit(2)
    eventually(lambda: service.rows("cac.issued.v1") == before + 2)
    code, said, err = ended(node)
    assert (code, said["executed"]) == (0, 2), err


def test_a_certificate_that_rests_on_nothing_known_is_refused(service: Service) -> None:
    client = Client(service.url, service.wallet("node.json"), SystemClock(), SystemEntropy())
    with pytest.raises(UnavailableError, match="certificate is not good"):
        client.get("/v1/nodes")


def test_beyond_loopback_no_token_is_given_without_a_proof(service: Service) -> None:
    wallet = service.wallet("node.json")
    assertion = jws.sign(jws.ASSERTION, wallet.key(Purpose.REPORT), claims(wallet))
    form = urlencode({"grant_type": GRANT_TYPE, "assertion": assertion})
    trusting = ssl.create_default_context(cafile=service.ledger.folder / "cert.pem")
    connection = HTTPSConnection("127.0.0.1", service.port, context=trusting, timeout=20)
    try:
        connection.request("POST", "/v1/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        detail = json.loads(answer.read())["detail"]
    finally:
        connection.close()
    assert (answer.status, "takes a DPoP proof" in detail) == (401, True)


def test_a_head_that_does_not_come_in_time_or_is_too_long_ends_the_connection(service: Service) -> None:
    trusting = ssl.create_default_context(cafile=service.ledger.folder / "cert.pem")

    def connected() -> ssl.SSLSocket:
        wire = socket.create_connection(("127.0.0.1", service.port), timeout=heads.HEAD_S + 10)
        return trusting.wrap_socket(wire, server_hostname="127.0.0.1")

    began_s = time.monotonic()
    idle, slow, again, long = (connected() for _ in range(4))
    with idle, slow, again, long:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        again.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        while not again.recv(4096).endswith(b"ok\n"):
            pass
        again.sendall(b"GET /healthz HTT")
        long.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * (heads.MAX_HEAD_BYTES + 1))
        assert long.recv(4096).startswith(b"HTTP/1.1 431 ")
        assert _is_over(long)
        assert time.monotonic() - began_s < heads.HEAD_S / 2
        assert _is_over(idle)
        assert _is_over(slow)
        assert _is_over(again)
    assert heads.HEAD_S - 1 < time.monotonic() - began_s < heads.HEAD_S + 8


def _is_over(wire: ssl.SSLSocket) -> bool:
    try:
        return wire.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize(
    "outside",
    [
        {"certificate": Path("c")}, {"key": Path("k")}, {"url": "http://ledger.example"}, {"url": "ledger.example"},
        {"url": "https://"}, {"url": "https://ledger.example/v1"}, {"url": "https://ledger.example?x"},
    ],
)  # fmt: skip
def test_what_does_not_hang_together_is_refused(outside: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        listen("127.0.0.1", 0, Outside(**outside))


@pytest.mark.parametrize(
    "url",
    [
        "http://ledger.example",
        "http://192.0.2.1:80",
        "ftp://127.0.0.1:1",
        "https://",
        "https://a/b",
        "https://u@a",
        "a",
    ],
)
def test_a_node_speaks_in_clear_on_loopback_only(service: Service, url: str) -> None:
    with pytest.raises(MalformedError):
        Client(url, service.wallet("node.json"), SystemClock(), SystemEntropy())
