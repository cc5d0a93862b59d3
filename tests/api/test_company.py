"""Several processes of one ledger: a token of one is one of all, nothing counts twice, and each role ends on TERM."""

import asyncio
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from domain.errors import NotAuthorisedError, UnavailableError
from infrastructure.api import company
from infrastructure.api.access import Access
from infrastructure.api.askers import Principal
from infrastructure.api.company import Company
from infrastructure.api.gate import Gate
from infrastructure.api.limits import Allowed
from infrastructure.api.metrics import Requests
from infrastructure.api.peers import Peers
from infrastructure.api.proofs import Proofs
from infrastructure.api.shared import AHEAD_S, Shared, SharedToken
from infrastructure.cli.session import ledger_at
from infrastructure.exchange.session import GRANT_TYPE
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Ledger
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.statements import dpop, jws
from tests.api.provider import Provider, admit, exchange
from tests.api.service import Answered, Service, eventually
from tests.api.test_access import claims
from tests.cli.conftest import TENANT, Installation, first_steps
from tests.database import TestServer, as_role, conninfo, datastore, postgres

__all__ = ["conninfo", "datastore", "postgres"]

URL = "https://ledger.example"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Processes:
    """Two that answer behind one proxy, and two that do the rest."""

    ledger: Installation
    one: Service
    two: Service
    decider: Service
    projector: Service


@pytest.fixture
def processes(postgres: TestServer, tmp_path: Path) -> Iterator[Processes]:
    with postgres.database() as name, ExitStack() as stack:
        made = Installation(tmp_path, {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        first_steps(made)
        roles = (("--role", "api", "--url", URL),) * 2 + (
            ("--role", "decider", "--role", "publisher"),
            ("--role", "projector"),
        )
        started = []
        for options in roles:
            service = Service(made, free_port(), options=options)
            stack.callback(service.close)
            started.append(service.start())
        yield Processes(made, *started)


def assertion(wallet: Wallet) -> bytes:
    signed = jws.sign(jws.ASSERTION, wallet.key(Purpose.REPORT), claims(wallet))
    return urlencode({"grant_type": GRANT_TYPE, "assertion": signed}).encode()


def proof(wallet: Wallet, method: str, path: str, token: str | None = None) -> str:
    """Return a proof for what the proxy is asked."""
    key, jti = wallet.key(Purpose.REPORT), secrets.token_hex(16)
    return dpop.make(key, method, URL + path, issued_s=int(time.time()), jti=jti, token=token)


def ask_token(service: Service, body: bytes, shown: str) -> Answered:
    return service.ask("POST", "/v1/token", body, Content_Type="application/x-www-form-urlencoded", DPoP=shown)


def test_what_one_process_gave_out_or_saw_all_others_know(processes: Processes) -> None:
    one, two, wallet = processes.one, processes.two, processes.one.wallet("node.json")
    body = assertion(wallet)
    given = ask_token(one, body, proof(wallet, "POST", "/v1/token"))
    assert given.status == 200, given.body
    exchanged(processes, Provider())
    again = ask_token(two, body, proof(wallet, "POST", "/v1/token"))
    assert (again.status, "used before" in again.json["detail"]) == (401, True)
    token = given.json["access_token"]
    shown = {"Authorization": f"DPoP {token}", "DPoP": proof(wallet, "GET", "/v1/nodes", token)}
    assert two.ask("GET", "/v1/nodes", None, None, **shown).status == 200
    for service in (one, two):
        replayed = service.ask("GET", "/v1/nodes", None, None, **shown)
        assert (replayed.status, "used before" in replayed.json["detail"]) == (401, True)
    url = as_role(processes.ledger.environ["LEDGER_DATABASE_URL"])
    with psycopg.connect(url, autocommit=True) as admin:  # every session ends, and with it every lease
        own = "datname = current_database() AND pid <> pg_backend_pid()"
        admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {own}".encode())  # noqa: S608 - ours

    def works(service: Service) -> bool:
        shown["DPoP"] = proof(wallet, "GET", "/v1/nodes", token)
        return service.ask("GET", "/v1/nodes", None, None, **shown).status == 200

    for service in (one, two):
        eventually(lambda service=service: works(service))  # type: ignore[misc]
    time.sleep(2)  # a process that had lost its place would have ended by now
    assert all(map(works, (one, two)))
    assert one.stop(signal.SIGKILL) == -signal.SIGKILL
    shown["DPoP"] = proof(wallet, "GET", "/v1/nodes", token)
    assert two.ask("GET", "/v1/nodes", None, None, **shown).status == 200
    assert two.ask("GET", "/v1/nodes", None, "x" * 43).status == 401
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT t::text FROM ledger.access_tokens t").fetchall()
    assert rows
    assert not any(token in row[0] for row in rows), "only its hash is kept"


def exchanged(processes: Processes, provider: Provider) -> None:
    """Let one process give a token for another's, and both take it until its issuer is revoked."""
    one, two = processes.one, processes.two
    admit(one, provider, "auditor=groups=ledger-auditors", local=True)
    wallet, path = one.wallet("node.json"), "/v1/tenants"
    assert "DPoP proof" in exchange(one, provider.token()).json["detail"], "tokens are bound to keys here"
    given = exchange(one, provider.token(), proof=proof(wallet, "POST", "/v1/token")).json["access_token"]

    def ask(service: Service, of: Wallet) -> int:
        shown = {"Authorization": f"DPoP {given}", "DPoP": proof(of, "GET", path, given)}
        return service.ask("GET", path, None, None, **shown).status

    assert [ask(two, wallet), ask(one, wallet), ask(two, one.wallet("alice.json"))] == [200, 200, 401]
    processes.ledger.done(
        "principal", "revoke-issuer", provider.issuer, "--of", TENANT, "--reason", "left", "--key", "alice.json"
    )
    assert [ask(two, wallet), ask(one, wallet)] == [401, 401]


def test_a_workload_ends_with_its_cac_though_no_process_does_all_and_each_ends_on_term(processes: Processes) -> None:
    node = processes.two.node("node.json")
    (workload,) = processes.one.submit()
    eventually(lambda: processes.one.rows("cac.issued.v1") == 1)
    assert workload
    eventually(lambda: len(list((processes.ledger.data / "published/t").iterdir())) >= 3, 60)
    node.terminate()
    node.communicate(timeout=20)
    for service in (processes.projector, processes.decider):
        assert service.ask("GET", "/healthz").status == 200
        assert service.ask("GET", "/readyz").status == 200
        assert service.ask("GET", "/v1/nodes", None, "x" * 43).status == 503
        numbers = service.ask("GET", "/metrics")
        assert numbers.status == 200
        assert b"ledger_projector_lag_events" in numbers.body
    for service in (processes.projector, processes.decider, processes.two, processes.one):
        began_s = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began_s < 10


def test_a_process_with_roles_founds_nothing(tmp_path: Path) -> None:
    Installation(tmp_path, {}).refused("serve", "--port", "0", "--role", "api", says="there is no ledger")
    assert not (tmp_path / "data").exists()


def test_who_answers_alone_and_who_answers_with_others_are_never_at_work_together(
    postgres: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(company, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(company, "_EVERY_S", 0.05)
    with postgres.database() as name:
        made = Installation(tmp_path, {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        made.done("init")
        monkeypatch.setenv("LEDGER_DATABASE_URL", postgres.conninfo(name))
        lost: list[UnavailableError] = []

        def join(*, alone: bool) -> Company:
            proofs = Proofs(frozenset(), needed=False)
            joined = Company(ledger, proofs, alone=alone, lost=lost.append, stopping=threading.Event())
            assert (proofs.shared is None) == alone
            return joined

        with ledger_at(tmp_path / "data") as ledger:
            with join(alone=False), join(alone=False), pytest.raises(UnavailableError, match="other processes answer"):
                join(alone=True)
            with join(alone=True):
                for alone in (True, False):
                    with pytest.raises(UnavailableError):
                        join(alone=alone)
                with psycopg.connect(as_role(postgres.conninfo(name)), autocommit=True) as admin:
                    end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                    admin.execute(end)
                    eventually(lambda: admin.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'").rowcount == 1)
                    assert lost == []
                    key = admin.execute(
                        "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory'"
                    ).fetchone()
                    monkeypatch.setattr(company, "_EVERY_S", 0.5)
                    time.sleep(0.1)
                    admin.execute(end)
                    admin.execute("SELECT pg_advisory_lock_shared(%s)", key)  # another was quicker
                    eventually(lambda: len(lost) == 1)


def test_of_many_at_the_same_time_over_two_processes_one_takes_a_name(datastore: LedgerDatastore) -> None:
    now_ms = [5_000]
    stores = [Shared(datastore, lambda: now_ms[0]) for _ in range(2)]
    assert stores[0].born_ms() == 5_000
    now_ms[0] = 20_000

    def take(number: int) -> bool:
        try:
            stores[number % 2].use_up(f"name {number // 8}".encode(), 20, 99_000)
        except NotAuthorisedError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(take, range(800)))
    assert [sum(taken[at : at + 8]) for at in range(0, 800, 8)] == [1] * 100


def test_after_a_crash_of_the_server_nothing_from_before_it_counts(datastore: LedgerDatastore, conninfo: str) -> None:
    now_ms = [5_000]
    shared = Shared(datastore, lambda: now_ms[0])
    assert shared.born_ms() == 5_000
    now_ms[0] = 20_000
    with pytest.raises(NotAuthorisedError, match="from the future"):
        shared.use_up(b"ahead", 20 + AHEAD_S + 1, 99_000)
    shared.use_up(b"one", 20, 99_000)
    ahead_s = 20 + AHEAD_S
    shared.use_up(b"ahead", ahead_s, 99_000)
    shared.put_token(bytes(32), SharedToken("kid", None, bound=True, until_ms=50_000))
    assert shared.token(bytes(32)) == SharedToken("kid", None, bound=True, until_ms=50_000)
    with psycopg.connect(conninfo) as owner:  # as a crash leaves unlogged tables
        for table in ("access_born", "access_tokens", "access_used"):
            owner.execute(f"TRUNCATE ledger.{table}".encode())
    for name, issued_s in ((b"one", 20), (b"ahead", ahead_s), (b"two", 20)):
        with pytest.raises(NotAuthorisedError, match="older than what is remembered"):
            shared.use_up(name, issued_s, 99_000)
    now_ms[0] = (ahead_s + 1) * 1000
    shared.use_up(b"three", ahead_s + 1, 99_000)
    assert shared.token(bytes(32)) is None


def test_what_counts_no_more_is_dropped_though_no_token_is_given_out(datastore: LedgerDatastore, conninfo: str) -> None:
    now_ms = [5_000]
    shared = Shared(datastore, lambda: now_ms[0])
    shared.born_ms()
    now_ms[0] = 20_000
    shared.use_up(b"one", 20, 99_000)
    shared.put_token(bytes(32), SharedToken("kid", None, bound=True, until_ms=50_000))
    shared.prune()
    with pytest.raises(NotAuthorisedError, match="used before"):
        shared.use_up(b"one", 20, 99_000)
    now_ms[0] = 100_000
    shared.prune()
    with psycopg.connect(as_role(conninfo)) as owner:
        for table in ("access_tokens", "access_used"):
            assert owner.execute(SQL("SELECT count(*) FROM {}").format(Identifier("ledger", table))).fetchone() == (0,)


def test_a_process_among_others_drops_what_counts_no_more_by_itself(
    datastore: LedgerDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned = threading.Event()
    monkeypatch.setattr(Shared, "prune", lambda _: pruned.set())
    monkeypatch.setattr(company, "_EVERY_S", 0.01)
    ledger = cast("Ledger", SimpleNamespace(datastore=datastore, clock=SimpleNamespace(now_ms=lambda: 5_000)))
    proofs = Proofs(frozenset(), needed=False)
    with Company(ledger, proofs, alone=False, lost=lambda _: None, stopping=threading.Event()):
        assert pruned.wait(30)


def test_a_strangers_token_is_not_looked_up_once_its_bucket_is_empty() -> None:
    looked: list[str] = []

    class Unknown:
        issuer = "https://ledger.example"

        def knows(self, _: str) -> bool:
            return False

        async def principal(self, given: str, _: object) -> Principal:
            looked.append(given)
            raise NotAuthorisedError("the token is unknown")

    async def app(*_: object) -> None:
        raise AssertionError

    access = cast("Access", Unknown())
    gate = Gate(app, lambda: access, lambda _: None, Peers(), lambda *_: None, Requests(), Allowed(), lambda *_: None)
    statuses: list[int] = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    async def receive() -> Any:
        return {"type": "http.request"}

    headers = [(b"authorization", b"Bearer " + b"A" * 43)]
    scope = {"type": "http", "method": "GET", "path": "/v1/x", "headers": headers, "client": ("192.0.2.1", 1)}

    async def ask() -> None:
        while 429 not in statuses:
            await gate(dict(scope), receive, send)
            assert len(looked) < 100_000

    asyncio.run(ask())
    assert len(looked) == statuses.count(401), "who is told to slow down costs no query"
