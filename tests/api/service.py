"""A served ledger and nodes for tests: real processes on free ports, over a real database."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg

from infrastructure.cli.session import ledger_at
from infrastructure.client import acts
from infrastructure.client.submission import read_submission_file
from infrastructure.clock import SystemClock
from infrastructure.commands.loading import find_tenant
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange.blocking import Client
from infrastructure.exchange.session import GRANT_TYPE
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from tests.cli.conftest import EXAMPLES, TENANT, Installation, first_steps
from tests.database import TestServer, as_role

WAIT_S = 30.0


@dataclass
class Answered:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Service:
    """One `serve` over an installation, and the nodes that were started for it."""

    ledger: Installation
    port: int = 0
    process: "subprocess.Popen[str] | None" = None
    nodes: "list[subprocess.Popen[str]]" = field(default_factory=list)
    options: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"{'https' if '--tls-cert' in self.options else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> "Service":
        """Start serving, on the port of before if there was one, and wait until it is ready."""
        self.process = self.ledger.start(
            "serve", "--port", str(self.port), "--data-dir", self.ledger.data, "--json", *self.options
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        said = json.loads(line)
        self.port = self.port if "--url" in self.options else int(said["url"].rpartition(":")[2])
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        self.ledger.said += [out, err]
        assert "Traceback" not in out + err, err
        code = self.process.returncode
        self.process = None
        return code

    def node(
        self, key: str | Path, *more: str | Path, environ: dict[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """Start a node."""
        node = subprocess.Popen(
            [sys.executable, "-m", "infrastructure.cli", "node", "run", "--server", self.url, "--key", str(key),
             "--json", *map(str, more)],
            text=True, cwd=self.ledger.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
            env={**self.ledger.environment(), **(environ or {})},
        )  # fmt: skip
        self.nodes.append(node)
        return node

    def kill_nodes(self) -> None:
        """Kill the nodes that are left."""
        for node in self.nodes:
            node.kill()
            node.wait()
            for stream in (node.stdout, node.stderr):
                if stream is not None:
                    stream.close()
        self.nodes.clear()

    def close(self) -> None:
        """Kill whatever is left."""
        self.kill_nodes()
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def ask(
        self, method: str, path: str, body: bytes | None = None, token: str | None = None, **headers: str
    ) -> Answered:
        """Send one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, body, given)
            response = connection.getresponse()
            return Answered(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )
        finally:
            connection.close()

    def post(self, path: str, members: Any, token: str | None = None) -> Answered:
        """Post JSON."""
        return self.ask("POST", path, json.dumps(members).encode(), token, Content_Type="application/json")

    def submit(self, count: int = 1, file: str = "flood.submission.json") -> list[str]:
        """Hand workloads in, beside the served process; return their ids."""
        content, inputs = read_submission_file(EXAMPLES / file)
        before = dict(os.environ)
        os.environ.update(self.ledger.environ)
        try:
            with ledger_at(self.ledger.data) as opened:
                tenant, wallet = find_tenant(opened, TENANT), self.wallet("alice.json")
                return [acts.submit(opened, tenant, wallet, content, inputs).workload for _ in range(count)]
        finally:
            os.environ.clear()
            os.environ.update(before)

    def wallet(self, name: str) -> Wallet:
        """Load a wallet of the installation."""
        return wallets.load(self.ledger.folder / name)

    def rows(self, topic: str) -> int:
        """Count the events of a topic."""
        with psycopg.connect(as_role(self.ledger.environ["LEDGER_DATABASE_URL"])) as connection:
            query = "SELECT count(*) FROM ledger.stored_events WHERE topic = %s"
            found = connection.execute(query, (topic,)).fetchone()
        assert found is not None
        return int(found[0])

    def token(self, key: str) -> str:
        """Return a token of a node that is bound to no key, as there are on loopback."""
        return self.unbound(Client(self.url, self.wallet(key), SystemClock(), SystemEntropy()))

    def token_of(self, key: str, log: str, purpose: Purpose = Purpose.REPORT) -> str:
        """Return a token of a principal of a tenant, a scope or the platform that is bound to no key."""
        given = Client(self.url, self.wallet(key), SystemClock(), SystemEntropy(), purpose=purpose, tenant=log)
        return self.unbound(given)

    def unbound(self, client: Client) -> str:
        """Return a token of whoever a client speaks for that is bound to no key."""
        try:
            client.learn_issuer()
            form = urlencode({"grant_type": GRANT_TYPE, "assertion": client.session.assertion()}).encode()
        finally:
            client.close()
        answer = self.ask("POST", "/v1/token", form, Content_Type="application/x-www-form-urlencoded")
        assert answer.status == 200, answer.body
        token: str = answer.json["access_token"]
        return token


@contextmanager
def served(
    postgres: TestServer, folder: Path, *, second: bool = False, port: int = 0, options: tuple[str, ...] = ()
) -> Iterator[Service]:
    """Serve a new ledger with a tenant, a clause and a node or two."""
    with postgres.database() as name:
        made = Installation(folder, {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        first_steps(made)
        if second:
            named = ("--name", "berlin-2", "--operator", "Suedrechner", "--country", "deu", "--key", "two.json")
            made.done("node", "enrol", *named)
        service = Service(made, port, options=options)
        try:
            yield service.start()
        finally:
            service.close()


def eventually(holds: Callable[[], object], within_s: float = WAIT_S) -> None:
    """Wait until something holds."""
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.05)


def ended(node: "subprocess.Popen[str]", number: int = signal.SIGTERM) -> tuple[int, dict[str, Any], str]:
    """End a node by a signal; return its exit code, what it printed and said."""
    node.send_signal(number)
    out, err = node.communicate(timeout=30)
    assert "Traceback" not in err, err
    return node.returncode, json.loads(out.splitlines()[-1]) if out.strip() else {}, err
