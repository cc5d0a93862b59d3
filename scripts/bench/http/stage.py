"""A served ledger as institutions run it: `--role api` apart from the other roles; tenants; nodes with many slots."""

import http.client
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from domain.errors import UnavailableError
from infrastructure.cli.session import ledger_at
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange.blocking import Client
from infrastructure.exchange.session import GRANT_TYPE
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Ledger
from infrastructure.statements import jws
from scripts.bench.lifecycle.stage import DAOS, JURISDICTION, NODE, Customer, customer, found, process, run, url_of

NODES = 4
SLOTS = 4096
_ALLOWED = ("--requests-per-s", "1000000", "--stranger-requests-per-s", "10000")
"""One token stands for all askers here."""
_PUBLISHED_S = 90.0

Request = tuple[str, str, str, str]
"""Method, path, body, and the token in whose name it is asked."""
_OTHERS = ("--role", "decider", "--role", "publisher", "--role", "projector")


@dataclass(frozen=True, slots=True)
class Node:
    """A node by name, and its keys."""

    name: str
    wallet: Wallet


@dataclass(frozen=True, slots=True)
class Stage:
    """The ledger, opened beside those who serve it; who acts on it; the process that answers."""

    ledger: Ledger
    customers: tuple[Customer, ...]
    nodes: tuple[Node, ...]
    url: str
    pid: int
    folder: Path

    def client(self, wallet: Wallet) -> Client:
        """Return a client that asks in a node's name."""
        return Client(self.url, wallet, SystemClock(), SystemEntropy())

    def token(self, wallet: Wallet, purpose: Purpose = Purpose.REPORT, tenant: str = "") -> str:
        """Return a token that is bound to no key: the load generator signs nothing while it measures.

        Raises:
            UnavailableError: when there is none.
        """
        client, did, now_s = self.client(wallet), wallet.did(purpose), int(time.time())
        issuer = client.learn_issuer()
        client.close()
        about = {"tenant": tenant} if tenant else {}
        said = {**about, "iss": did, "sub": did, "aud": issuer, "jti": secrets.token_hex(16)}
        signed = jws.sign(jws.ASSERTION, wallet.key(purpose), {**said, "iat": now_s, "exp": now_s + 60})
        form = urlencode({"grant_type": GRANT_TYPE, "assertion": signed}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return str(ask(self.url, "POST", "/v1/token", form, headers=headers)["access_token"])

    def cpu_s(self) -> float:
        """Return how long the process that answers has computed."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Return the memory of the process that answers, in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000


@contextmanager
def open_stage(directory: Path | None) -> Iterator[Stage]:
    """Found a ledger below a directory (None: the temporary one) and serve it.

    Raises:
        UnavailableError: when a process does not start.
    """
    with tempfile.TemporaryDirectory(prefix="enclave-ledger-bench-", dir=directory) as made:
        folder = Path(made)
        run(folder, "init", "--data-dir", "data")
        with ledger_at(folder / "data"):  # the server is started once for all that follows
            found(folder)
            first = Node(NODE, wallets.load(folder / "node.json"))
            nodes = (first, *(_node(folder, number) for number in range(NODES)))
        serve = ("serve", "--port", "0", "--data-dir", "data", "--json")
        with (
            process([*serve, *_OTHERS], folder),
            process([*serve, "--role", "api", *_ALLOWED], folder) as api,
        ):
            url = url_of(api)
            with ledger_at(folder / "data") as ledger:
                yield Stage(ledger, tuple(customer(ledger, folder, dao) for dao in DAOS), nodes, url, api.pid, folder)


def load(stage: Stage, requests: list[Request], **more: Any) -> dict[str, Any]:
    """Send requests from a process of its own; return what came of it.

    Args:
        stage: whom to ask.
        requests: what to send.
        more: `connections`, `seconds`.

    Raises:
        UnavailableError: when the generator fails.
    """
    parts = urlsplit(stage.url)
    path = stage.folder / "load.json"
    path.write_text(json.dumps({"host": parts.hostname, "port": parts.port, "requests": requests, **more}))
    ended = subprocess.run(
        [sys.executable, "-m", "scripts.bench.http.load", str(path)], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise UnavailableError(f"the load generator: {ended.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def published_size(stage: Stage, token: str) -> int:
    """Wait until what a log holds now is published; return its size.

    Raises:
        UnavailableError: when it is not published in time.
    """
    until_s, wanted = time.monotonic() + _PUBLISHED_S, 0
    while time.monotonic() < until_s:
        answer = ask(stage.url, "GET", "/v1/audit", headers={"Authorization": f"Bearer {token}"})
        wanted = wanted or int(answer["size"])
        if (answer["published"] or 0) >= wanted:
            return wanted
        time.sleep(0.5)
    raise UnavailableError("the log was not published in time")


def ask(url: str, method: str, path: str, body: bytes | None = None, *, headers: dict[str, str]) -> dict[str, Any]:
    """Ask once.

    Raises:
        UnavailableError: when the answer is not good.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port or 0, timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise UnavailableError(f"{path}: {found}")
    return found


def _node(folder: Path, number: int) -> Node:
    name = f"node-{number}"
    facts = ("--name", name, "--operator", "Nordrechner", "--country", JURISDICTION, "--slots", str(SLOTS))
    run(folder, "node", "enrol", *facts, "--memory-mib", "65536", "--key", f"{name}.json", "--data-dir", "data")
    return Node(name, wallets.load(folder / f"{name}.json"))
