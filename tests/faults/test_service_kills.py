"""Two processes that answer and one that decides, killed at any moment under load, and PostgreSQL with them.

Every write that was acknowledged is there once, where the answer said; every bundle verifies; no tenant sees another.
The long form (`make soak`) goes on for ten minutes. LEDGER_KILLS_SEED draws the kills of an earlier run again.
"""

import http.client
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from domain.errors import LedgerError
from infrastructure.cli.session import ledger_at
from infrastructure.client.submission import Submission, build_submission, read_submission_file
from infrastructure.clock import SystemClock
from infrastructure.commands.loading import find_tenant
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.keys.wallet import Purpose
from tests.api.service import Answered, Service, eventually
from tests.api.test_company import free_port
from tests.api.writing import FLOOD, body
from tests.cli.conftest import TENANT, Installation, first_steps
from tests.database import TestServer, kill_server, running_server

OTHER = "HealthDAO/FRA"
WALLETS = {TENANT: "alice.json", OTHER: "bob.json"}
_PATIENCE_S = 90.0
_AWAY = (OSError, http.client.HTTPException, AssertionError, LedgerError)


@dataclass
class Load:
    """One tenant's submitter, who hands in and repeats until it is answered for good, wherever somebody answers."""

    tenant: str
    services: list[Service]
    made: dict[str, Any]
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    wrong: list[str] = field(default_factory=list)
    token: str = ""

    def run(self) -> None:
        """Go on until it is told to stop; what was begun is brought to its end."""
        number = 0
        while not self.stop.is_set():
            made = self._built()
            self._hand_in(made, number)
            number += 1

    def _built(self) -> Submission:
        content, inputs = read_submission_file(FLOOD)
        now_ms = SystemClock().now_ms()
        return build_submission(
            content, inputs, wallet=self.services[0].wallet(WALLETS[self.tenant]),
            workload=SystemIds().uuid(now_ms), now_ms=now_ms, entropy=SystemEntropy(), **self.made,
        )  # fmt: skip

    def _hand_in(self, made: Submission, number: int) -> None:
        until_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until_s:
            service = self.services[number % len(self.services)]
            number += 1
            try:
                if not self.token:
                    self.token = service.token_of(WALLETS[self.tenant], self.tenant, Purpose.SUBMISSION)
                answer = service.post("/v1/workloads", body(made), self.token)
            except _AWAY:
                time.sleep(0.05)
                continue
            if answer.status == 201:
                self.answers[made.workload] = answer.json
                return
            if answer.status == 401:
                self.token = ""
            elif answer.status not in {429, 503}:
                self.wrong.append(f"{answer.status} {answer.body!r}")
                return
            time.sleep(0.05)
        self.wrong.append(f"{made.workload} was not answered in {_PATIENCE_S:.0f} s")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TestServer]:
    with running_server(tmp_path / "server") as made:
        yield made


def founded(folder: Path, conninfo: str) -> Installation:
    made = Installation(folder, {"LEDGER_DATABASE_URL": conninfo})
    first_steps(made)
    made.done("key", "new", "bob.json", "--name", "bob")
    made.done(
        "tenant", "register", "--dao", "HealthDAO", "--jurisdiction", "fra", "--clause", "UNDRR::Disaster::Flood",
        "--class", "Disaster::Flood@v1", "--key", "bob.json",
    )  # fmt: skip
    return made


def keys_of(made: Installation) -> dict[str, dict[str, Any]]:
    """Return what each tenant's submitter needs to know of it."""
    os.environ.update(made.environ)
    try:
        with ledger_at(made.data) as ledger:
            found = {name: find_tenant(ledger, name) for name in WALLETS}
    finally:
        del os.environ["LEDGER_DATABASE_URL"]
    return {name: {"origin": one.origin, "release_key": one.release_key} for name, one in found.items()}


def killed(service: Service) -> None:
    """Kill a process as `kill -9` does, and start it again."""
    assert service.process is not None
    service.process.send_signal(signal.SIGKILL)
    _, err = service.process.communicate()
    assert "Traceback" not in err, err
    service.start()


def kill_for(
    seconds: float, kills: int, services: list[Service], loads: list[Load], server: TestServer, moments: random.Random
) -> int:
    """Kill at random, for a time and so often at least, each victim in its turn; return how often."""
    count, until_s = 0, time.monotonic() + seconds
    while count < kills or time.monotonic() < until_s:
        victim = count % (len(services) + 1)
        before = sum(len(load.answers) for load in loads)
        eventually(lambda before=before: sum(len(load.answers) for load in loads) > before + 3, _PATIENCE_S)  # type: ignore[misc]
        time.sleep(moments.random() * 0.3)
        if victim == len(services):
            kill_server(server.server)
            server.server.ensure_running()
        else:
            killed(services[victim])
        count += 1
    return count


def assert_answers_hold(service: Service, loads: list[Load], tokens: dict[str, str]) -> int:
    """Hold that each answer's events lie where it said, once, and in no other tenant's log or lists."""
    total = 0
    for load in loads:
        rows = everything(service, "/v1/workloads", "workloads", tokens[load.tenant])
        assert sorted(row["workload"] for row in rows) == sorted(load.answers), "each acknowledged write once, no other"
        entries = everything(service, "/v1/audit/history", "entries", tokens[load.tenant])
        there = {entry["leaf_index"]: (entry["leaf_hash"], entry["topic"]) for entry in entries}
        for answer in load.answers.values():
            assert len(answer["acknowledgements"]) == len(answer["places"])
            for place in answer["places"]:
                assert there[place["leaf_index"]] == (place["leaf_hash"], place["topic"])
            total += 1
        text = json.dumps([rows, entries])
        others = [name for other in loads if other is not load for name in (*other.answers, other.made["origin"] + '"')]
        assert not [name for name in others if name in text]
        for name in list(others)[:3]:
            assert service.ask("GET", f"/v1/workloads/{name}", token=tokens[load.tenant]).status == 404
    return total


def reader(service: Service, tenant: str) -> str:
    """Return a token of a tenant's admin: after a crash of PostgreSQL nothing that was signed before it is taken."""
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return service.token_of(WALLETS[tenant], tenant, Purpose.GOVERNANCE)
        except _AWAY:
            assert time.monotonic() < until_s
            time.sleep(0.5)


def everything(service: Service, path: str, name: str, token: str) -> list[dict[str, Any]]:
    """Return all pages of a list."""
    found: list[dict[str, Any]] = []
    following: str | None = ""
    while following is not None:
        answer: Answered = service.ask("GET", path + (f"?cursor={following}" if following else ""), token=token)
        assert answer.status == 200, answer.body
        page = answer.json
        found += page[name]
        following = page["next"] if page[name] else None
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "kills"), [(0.0, 4), (600.0, 12)])
def test_whoever_is_killed_what_was_acknowledged_is_there_once_and_nobody_sees_anothers(
    server: TestServer, tmp_path: Path, seconds: float, kills: int
) -> None:
    seed = int(os.environ.get("LEDGER_KILLS_SEED") or random.randrange(2**32))
    sys.stdout.write(f"seed {seed}\n")
    with server.database() as name, ExitStack() as stack:
        made = founded(tmp_path, server.conninfo(name))
        known = keys_of(made)
        services = []
        for roles in (("api",), ("api",), ("decider", "publisher", "projector")):
            options = tuple(word for role in roles for word in ("--role", role))
            services.append(Service(made, free_port(), options=options))
            stack.callback(services[-1].close)
            services[-1].start()
        loads = [Load(tenant, services[:2], known[tenant]) for tenant in WALLETS]
        threads = [threading.Thread(target=load.run) for load in loads]
        for thread in threads:
            thread.start()
        try:
            counted = kill_for(seconds, kills, services, loads, server, random.Random(seed))
        finally:
            for load in loads:
                load.stop.set()
            for thread in threads:
                thread.join()
        assert [load.wrong for load in loads] == [[], []]
        assert all(load.answers for load in loads)
        tokens = {tenant: reader(services[0], tenant) for tenant in WALLETS}
        total = assert_answers_hold(services[0], loads, tokens)
        for service in services:
            assert service.stop() == 0
        for number, tenant in enumerate(WALLETS):
            bundle = tmp_path / f"bundle-{number}"
            made.done("audit", "export", "--tenant", tenant, "--out", bundle, "--with-keys", "all")
            assert made.done("audit", "verify", bundle, "--json").json["ok"] is True
    sys.stdout.write(f"{counted} kills, {total} acknowledged writes\n")
