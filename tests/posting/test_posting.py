"""Posting to webhooks: signatures as RFC 9421 has them, and no way into networks that are not allowed."""

import base64
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from domain.errors import LedgerError, MalformedError, RefusedError, UnavailableError
from infrastructure.posting.exchange import post
from infrastructure.posting.signed import content_digest, signature_base, signed_headers
from infrastructure.posting.targets import Target, addresses, parse_networks

RFC_KEY = "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF"
"""test-key-ed25519 of RFC 9421 B.1.4."""


def rfc_key() -> Ed25519PrivateKey:
    key = load_der_private_key(base64.b64decode(RFC_KEY), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def test_the_signature_base_is_that_of_the_rfc() -> None:
    """RFC 9421 B.2.6, signing a request using ed25519."""
    components = [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"), ("@method", "POST"), ("@path", "/foo"),
        ("@authority", "example.com"), ("content-type", "application/json"), ("content-length", "18"),
    ]  # fmt: skip
    base = signature_base(components, ';created=1618884473;keyid="test-key-ed25519"')
    expected = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    assert base64.b64encode(rfc_key().sign(base)).decode() == expected


def test_the_content_digest_is_that_of_the_rfc() -> None:
    """RFC 9530 appendix D: the JSON object with its line feed."""
    assert content_digest(b'{"hello": "world"}\n') == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


def test_the_same_message_is_named_alike_and_signed_anew() -> None:
    key = rfc_key()
    options: dict[str, Any] = {"message_id": "0" * 32, "content_type": "application/json"}
    first, second = (signed_headers("https://h/x?y", b"{}", key, now_s=now, **options) for now in (5, 6))
    differ = {name for name in first if first[name] != second[name]}
    assert differ == {"Signature", "Signature-Input"}
    assert ";created=5;expires=305;" in first["Signature-Input"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/x", "http://", "https:///x", "h/x", "http://u:p@h/x", "http://u@h/", "http://h/#x", "http://h/#",
        "http://h/\n", "http://h/ x", "http://h:99999/", "http://[::1/", "http://h/é", "https://h\\@x/", "http://@h/",
        "http://h/" + "x" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_webhooks_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(MalformedError) as error:
        Target.parse(url)
    assert "x" * 20 not in str(error.value)


def leading_to(*hosts: str) -> Callable[..., list[Any]]:
    return lambda *_, **__: [(0, 0, 0, "", (host, 443)) for host in hosts]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "::1", "::",  # noqa: S104
        "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::",
        "224.0.0.1", "255.255.255.255", "ff02::1", "240.0.0.1", "192.0.2.1",
    ],
)  # fmt: skip
def test_no_guarded_webhook_leads_inside(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target.parse("https://hooks.example/x")
    for found in ((host,), ("93.184.215.14", host)):
        monkeypatch.setattr(socket, "getaddrinfo", leading_to(*found))
        with pytest.raises(RefusedError, match="no webhook leads"):
            addresses(target, ())


def test_public_addresses_and_allowed_networks_pass_and_http_only_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    secure, plain = Target.parse("https://hooks.example/x"), Target.parse("http://hooks.example/x")
    monkeypatch.setattr(socket, "getaddrinfo", leading_to("93.184.215.14", "2606:4700::1111"))
    assert addresses(secure, ()) == ["93.184.215.14", "2606:4700::1111"]
    with pytest.raises(RefusedError, match="https is needed"):
        addresses(plain, ())
    monkeypatch.setattr(socket, "getaddrinfo", leading_to("10.1.2.3"))
    inside = parse_networks("10.1.0.0/16, fc00::/7")
    assert addresses(plain, inside) == addresses(secure, inside) == ["10.1.2.3"]
    with pytest.raises(RefusedError):
        addresses(secure, parse_networks("10.2.0.0/16"))
    with pytest.raises(MalformedError, match="CIDR"):
        parse_networks("10.0.0.1/8")


def test_a_name_that_leads_nowhere_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(UnavailableError, match=r"hooks\.example is not found"):
        addresses(Target.parse("https://hooks.example/secret"), ())


@pytest.fixture
def endless() -> Iterator[str]:
    """A webhook whose answer does not end."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(1 << 12):
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/x"
    server.shutdown()
    server.server_close()
    thread.join()


def test_of_an_answer_only_so_much_is_read(endless: str) -> None:
    post(Target.parse(endless), b"{}", {}, timeout_s=20)


def test_only_checked_addresses_are_connected_at() -> None:
    refused = socket.create_server(("127.0.0.1", 0))
    port = refused.getsockname()[1]
    refused.close()
    with pytest.raises(LedgerError, match=r"^hooks\.example does not answer: ConnectionRefusedError$"):
        post(Target.parse(f"http://hooks.example:{port}/secret"), b"{}", {}, hosts=["127.0.0.1"], timeout_s=5)


def test_the_digest_is_of_the_body() -> None:
    assert content_digest(b"x") == f"sha-256=:{base64.b64encode(hashlib.sha256(b'x').digest()).decode()}:"
