"""A webhook on this machine, and what a receiver does to believe what it gets."""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SECRET = "s3cr3t-in-the-url"


@dataclass
class Taken:
    """A request as a receiver saw it."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass
class Receiver:
    """A webhook on this machine: keeps what it gets, and answers what it is told to (0: it hangs up)."""

    taken: list[Taken] = field(default_factory=list)
    refused: list[Taken] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    server: ThreadingHTTPServer = field(init=False)
    port: int = 0

    def start(self) -> "Receiver":
        receiver = self
        self.released.set()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                one = Taken(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                receiver.asked.set()
                receiver.released.wait(30)
                status = receiver.statuses.pop(0) if receiver.statuses else 204
                (receiver.taken if status == 204 else receiver.refused).append(one)
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                if status in {301, 302, 307}:
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/results?key={SECRET}"

    def die(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    @property
    def leaves(self) -> list[int]:
        return [one.said["leaf_index"] for one in self.taken]


def verified_by(jwk: dict[str, str], taken: Taken, url: str) -> dict[str, str]:
    """Verify a request as a receiver does (RFC 9421 3.2) that knows the published key; return the parameters.

    Raises:
        InvalidSignature: when another key signed it, or something else.
    """
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "="))
    digest = base64.b64encode(hashlib.sha256(taken.body).digest()).decode()
    assert taken.headers["content-digest"] == f"sha-256=:{digest}:"
    label, _, given = taken.headers["signature-input"].partition("=")
    covered = re.findall(r'"([^"]+)"', given.partition(")")[0])
    assert {"@method", "@target-uri", "content-digest", "message-id"} <= set(covered)
    values = {"@method": "POST", "@target-uri": url, **taken.headers}
    base = "\n".join([*(f'"{name}": {values[name]}' for name in covered), f'"@signature-params": {given}'])
    signature = re.fullmatch(rf"{label}=:([^:]+):", taken.headers["signature"])
    assert signature is not None
    public.verify(base64.b64decode(signature[1]), base.encode())
    parameters = dict(re.findall(r';([a-z]+)="?([^";]+)"?', given))
    assert parameters["keyid"] == jwk["kid"]
    return parameters
