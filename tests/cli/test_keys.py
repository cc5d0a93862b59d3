"""Data keys from the command line: what a person sees, and what is kept to the process."""

import ctypes
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from typer.main import get_command

from infrastructure.cli import session
from infrastructure.cli.app import app
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.keyring import Keyring
from infrastructure.keys.memory import forbid_dumps
from infrastructure.keys.private_files import write_private
from infrastructure.keys.wrapping import PASSPHRASE_VARIABLE
from infrastructure.postgres.cluster import SUPERUSER
from tests.cli.conftest import EXAMPLES, TENANT, Installation, first_steps
from tests.database import TestServer

SUBMIT = (EXAMPLES / "flood.submission.json", "--tenant", TENANT, "--key", "alice.json")


@pytest.fixture
def own(postgres: TestServer, tmp_path: Path) -> Iterator[Installation]:
    """A founded installation of a test's own, under a passphrase."""
    with postgres.database() as name:
        environ = {"LEDGER_DATABASE_URL": postgres.conninfo(name), PASSPHRASE_VARIABLE: "correct horse"}
        made = Installation(tmp_path, environ)
        first_steps(made)
        made.done("submit", *SUBMIT)
        yield made


def later(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Let commands run some days from now."""

    class Later(SystemClock):
        def now_ms(self) -> int:
            return super().now_ms() + days * 86_400_000

    monkeypatch.setattr(session, "SystemClock", Later)


def states(ledger: Installation) -> dict[str, str]:
    return {row["origin"]: row["state"] for row in ledger.done("key", "list", "--json").json["keys"]}


def origin(ledger: Installation) -> str:
    (row,) = ledger.done("tenant", "list", "--json").json["tenants"]
    return str(row["origin"])


def test_rotation_is_listed_and_work_goes_on(own: Installation) -> None:
    assert set(states(own).values()) == {"in use"}
    for name, generation in ((TENANT, 1), (TENANT, 2), ("platform", 1), ("root", 1)):
        assert own.done("key", "rotate", "--tenant", name, "--json").json["generation"] == generation
    rows = {row["origin"]: row for row in own.done("key", "list", "--json").json["keys"]}
    assert rows[origin(own)]["data_generations"] == 3
    assert rows[origin(own)]["signing_generations"] == 1
    assert sorted(row["kind"] for row in rows.values()) == ["platform", "scope", "tenant"]
    assert "in use" in own.done("key", "list").out
    assert own.done("submit", *SUBMIT, "--json").json["status"] == "done"
    own.refused("key", "rotate", "--tenant", "NobodyDAO/DEU", says="no such tenant")


def test_an_erasure_from_order_to_end(own: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = origin(own)
    workload = own.done("submit", *SUBMIT, "--json").json["workload"]
    copy = tmp_path / "a copy"
    log_id = own.done("tenant", "list", "--json").json["tenants"][0]["tenant"]
    further = Keyring.open(copy, SystemEntropy(), passphrase="correct horse")
    further.put(Keyring.open(own.data / "keys", SystemEntropy(), passphrase="correct horse").get(UUID(log_id)))
    own.refused("key", "destroy", "--tenant", TENANT, says="have not ordered")
    own.refused("tenant", "order-erasure", "--tenant", TENANT, says="--key")
    for days in ("0", "366"):
        assert own.inside(
            "tenant", "order-erasure", "--tenant", TENANT, "--key", "alice.json", "--cooling-off-days", days
        ).code == 64  # fmt: skip
    assert "no new work" in own.done("tenant", "order-erasure", "--tenant", TENANT, "--key", "alice.json").out
    own.refused("submit", *SUBMIT, says="takes nothing new")
    own.refused("key", "destroy", "--tenant", TENANT, says="cooling off until")
    own.done("tenant", "withdraw-erasure", "--tenant", TENANT, "--key", "alice.json")
    own.done("submit", *SUBMIT)
    ordered = own.done("tenant", "order-erasure", "--tenant", TENANT, "--key", "alice.json", "--json").json
    assert ordered["not_before_ms"] > 0
    own.done("work")
    later(monkeypatch, 8)
    own.refused("key", "destroy", "--tenant", TENANT, "--copy", tmp_path / "nowhere", says="no copy")
    own.refused("tenant", "withdraw-erasure", "--tenant", TENANT, "--key", "alice.json", says="over")
    for name in ("root", "platform"):
        assert own.inside("key", "destroy", "--tenant", name).code == 1
    told = own.done("key", "destroy", "--tenant", TENANT, "--copy", copy).out
    for words in (gone, "not anchored: this cell keeps no anchor log", "what stays", "erasure complete"):
        assert words in told
    assert further.get(UUID(log_id)).erased
    repeated = own.done("key", "destroy", "--tenant", TENANT, "--json").json
    assert (repeated["origin"], repeated["round"], repeated["pending_until"]) == (gone, None, None)
    assert states(own)[gone] == "destroyed"
    for command in (
        ("why", workload), ("submit", *SUBMIT), ("audit", "replay", "--tenant", TENANT),
        ("cac", "list", "--tenant", TENANT),
        ("audit", "export", "--tenant", TENANT, "--out", "keys", "--with-keys", "all"),
    ):  # fmt: skip
        own.refused(*command, says="data key was destroyed")
    assert own.done("tenant", "list", "--json").json["tenants"] == []
    own.done("queue")
    own.done("work")
    own.done("audit", "export", "--tenant", TENANT, "--out", "sealed")
    assert json.loads(own.done("audit", "verify", "sealed", "--json").out)["ok"]
    everything = "".join(own.said)
    assert "correct horse" not in everything


def test_while_backups_hold_what_an_older_program_kept_the_erasure_is_pending(
    own: Installation, postgres: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_id = own.done("tenant", "list", "--json").json["tenants"][0]["tenant"]
    name = str(conninfo_to_dict(own.environ["LEDGER_DATABASE_URL"])["dbname"])
    with psycopg.connect(postgres.conninfo(name, SUPERUSER)) as admin:
        admin.execute("INSERT INTO ledger.plain_read_models (log_id) VALUES (%s)", (log_id,))
    own.done("tenant", "order-erasure", "--tenant", TENANT, "--key", "alice.json", "--cooling-off-days", "1")
    own.done("work")
    later(monkeypatch, 2)
    ended = own.inside("key", "destroy", "--tenant", TENANT, "--backup-days", "30")
    assert ended.code == 3
    assert "erasure pending until 20" in ended.out
    later(monkeypatch, 31)
    assert "erasure complete" in own.done("key", "destroy", "--tenant", TENANT, "--backup-days", "30").out


def test_a_wrong_passphrase_a_damaged_and_a_missing_keyring_are_told_apart(own: Installation) -> None:
    own.environ[PASSPHRASE_VARIABLE] = "battery staple"
    own.refused("key", "list", says="passphrase")
    own.environ[PASSPHRASE_VARIABLE] = "correct horse"
    log_id = own.done("tenant", "list", "--json").json["tenants"][0]["tenant"]
    file = own.data / "keys" / f"{log_id}.keys"
    kept = file.read_bytes()
    write_private(file, kept[:-1] + bytes([kept[-1] ^ 1]))
    own.refused("tenant", "list", says="damaged")
    assert sorted(states(own).values()) == ["DAMAGED", "in use", "in use"]
    file.unlink()
    own.refused("tenant", "list", says="restore")
    assert sorted(states(own).values()) == ["MISSING", "in use", "in use"]


_PROBE = """
import ctypes, resource, sys
from pathlib import Path
from infrastructure.cli.session import ledger_at
with ledger_at(Path(sys.argv[1])):
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means")
def test_a_process_that_holds_keys_leaves_no_core_and_lets_nobody_read_it(own: Installation) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROBE, str(own.data)], env=own.environment(), capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["0", "0", "0"]


def test_forbidding_dumps_twice_is_as_good_as_once() -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    child = os.fork()
    if child == 0:
        forbid_dumps()
        forbid_dumps()
        done = resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
        done = done and (sys.platform != "linux" or ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0)
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert resource.getrlimit(resource.RLIMIT_CORE) == before


def test_no_command_takes_a_secret_as_an_argument() -> None:
    def options(command: object) -> Iterator[str]:
        for parameter in getattr(command, "params", ()):
            yield from parameter.opts
        for child in getattr(command, "commands", {}).values():
            yield from options(child)

    found = set(options(get_command(app)))
    assert "--tenant" in found
    assert not [name for name in found if any(word in name for word in ("pass", "secret", "seed-", "private"))]
