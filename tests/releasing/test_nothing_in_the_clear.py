"""Under custody: tenant neither input nor output is anywhere at the service: memory, files, database.

The service is `serve` with its embedded PostgreSQL, both as real processes. Submitter, releaser and node are processes
of their own, and left out: the node's keep runs the clause, so it has both in the clear while it does. Random words are
planted, and sought as they are, in hex and in base64. The same search finds what is there on purpose: a word planted in
a tenant's name, which the service has in memory, one in a file, and the topics in the database's memory and rows.
"""

import json
import os
import re
import secrets
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.embedded import EmbeddedServer
from tests.api.service import Service, ended, eventually
from tests.cli.conftest import Installation
from tests.commands.test_no_plaintext import places, spellings
from tests.releasing.served import releaser, with_own_custody

CLAUSE = "UNDRR::Disaster::Flood@3.0.0"
WORD = 24
TIMES = 200
"""So often in one input: freed memory is overwritten bit by bit, and one word in it might be gone by chance."""


def word() -> str:
    """Return a word that is nowhere yet, without a z: the clause raises each letter by one."""
    return "".join(secrets.choice(string.ascii_lowercase[:-1]) for _ in range(WORD))


def raised(text: str) -> str:
    """Return what the clause makes of a word."""
    return "".join(chr(ord(one) + 1) for one in text)


def children(pid: int) -> Iterator[int]:
    """Yield a process and all that it began."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from children(int(child))


def holds(pid: int, sought: "re.Pattern[bytes]", shared: set[str]) -> bool:
    """Tell whether a process has something in memory that it can write; what several share is read once."""
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            first, last = (int(one, 16) for one in span.split("-"))
            if not rights.startswith("rw") or (rights.endswith("s") and line in shared):
                continue
            shared.add(line)
            try:
                memory.seek(first)
                data = memory.read(last - first)
            except (OSError, ValueError, OverflowError):
                continue
            if sought.search(data or b""):
                return True
    return False


def held(pids: list[int], text: str) -> list[int]:
    """Return which processes have a word in memory."""
    sought = re.compile(b"|".join(map(re.escape, spellings(text.encode()))))
    found: list[int] = []
    shared: set[str] = set()
    for pid in pids:
        try:
            if holds(pid, sought, shared):
                found.append(pid)
        except FileNotFoundError:  # it has ended
            continue
    return found


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    ledger = Installation(tmp_path, {})
    ledger.done("init")
    made = Service(ledger)
    try:
        yield made.start()
    finally:
        made.close()


def prepare(ledger: Installation, name: str) -> None:
    """Register two tenants, a clause and a node."""
    ledger.done("key", "new", "alice.json", "--name", "alice")
    ledger.done(
        "tenant", "register", "--dao", name, "--jurisdiction", "deu", "--clause", "UNDRR::Disaster::Flood", "--class",
        "Disaster::Flood@v1", "--key", "alice.json",
    )  # fmt: skip
    with_own_custody(ledger)
    clause = {
        "clause_id": CLAUSE, "owner": name, "title": "Says it", "resource_classes": ["Disaster::Flood@v1"], "inputs": 1,
        "maximum_bounds": {"memory_bytes": 1 << 20, "fuel": 1_000_000, "wall_ms": 5000},
        "module": str(Path(__file__).with_name("shifted.wat")),
    }  # fmt: skip
    (ledger.folder / "clause.json").write_text(json.dumps(clause))
    ledger.done("clause", "register", "clause.json", "--tenant", f"{name}/DEU", "--key", "alice.json")
    ledger.done("node", "enrol", "--name", "one", "--operator", "Nord", "--country", "deu", "--key", "node.json")


def submit(ledger: Installation, text: str, tenant: str, key: str) -> str:
    """Hand a word in, by a process of its own."""
    asked = {
        "clause_id": CLAUSE, "resource_class": "Disaster::Flood@v1", "inputs": [{"text": text * TIMES}],
        "bounds": {"memory_bytes": 1 << 20, "fuel": 1_000_000, "wall_ms": 2000},
    }  # fmt: skip
    file = ledger.folder / "asked.json"
    file.write_text(json.dumps(asked))
    done = ledger.run("submit", file, "--tenant", tenant, "--key", key, "--no-run", "--json")
    file.unlink()
    return str(done.json["workload"])


def result(ledger: Installation, workload: str, *more: str) -> str:
    """Wait for a workload's CAC; return its output, opened by a process of its own."""
    found: list[str] = []

    def there() -> list[str]:
        rows = ledger.run("cac", "list", "--json").json["cacs"]
        found[:] = [row["cac"] for row in rows if row["workload"] == workload]
        return found

    eventually(there)
    return str(ledger.run("cac", "show", found[0], "--output", "--json", *more).json["output"])


def everything_stored(data: Path) -> bytes:
    """Return every row of every table of the database, in binary."""
    stored = bytearray()
    with (
        EmbeddedServer(data) as server,
        psycopg.connect(host=str(server.socket_dir), dbname="ledger", user=SUPERUSER) as connection,
    ):
        query = "SELECT schemaname || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname = 'ledger'"
        tables = [row[0] for row in connection.execute(query).fetchall()]
        assert tables
        for table in tables:
            with connection.cursor().copy(f"COPY {table} TO STDOUT (FORMAT binary)") as copy:
                for part in copy:
                    stored += part
    return bytes(stored)


def require_nowhere(pids: list[int], data: Path, *planted: str) -> None:
    """Require that no process, no file and no row has one of the words; the rows are really read."""
    stored = everything_stored(data)
    assert b"execution.inputs_released.v1" in stored
    for one in planted:
        assert held(pids, one) == []
        assert places(one, data) == []
        assert not any(spelling in stored for spelling in spellings(one.encode()))


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root can't read another process's memory")
def test_a_planted_input_and_output_are_nowhere_at_the_service(service: Service) -> None:
    ledger, secret, name = service.ledger, word(), f"Dao{word()}"
    prepare(ledger, name)
    node: subprocess.Popen[str] = service.node("node.json")
    own = releaser(service)
    assert service.process is not None
    (postmaster,) = {int(one.read_text().split("\n")[0]) for one in ledger.data.rglob("postmaster.pid")}
    served, database = list(children(service.process.pid)), list(children(postmaster))

    workload = submit(ledger, secret, "RiverDAO/DEU", "river.json")
    assert json.loads(result(ledger, workload, "--key", "river.json")) == {"said": raised(secret) * TIMES}
    pids = sorted({*served, *database, *children(service.process.pid), *children(postmaster)})
    require_nowhere(pids, ledger.data, secret, raised(secret))
    assert ended(own)[0] == 0

    assert held(served, name) == [service.process.pid]
    assert held(database, "execution.inputs_released.v1")
    (ledger.data / "planted").write_text(secret.encode().hex())
    assert places(secret, ledger.data) == ["planted"]
    assert ended(node)[0] == 0
