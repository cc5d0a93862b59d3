"""What a tenant said is nowhere to be found: not in the database, its write-ahead log, a dump, a backup, nor any file.

Unmistakable words are planted in everything that a tenant can say, through the whole life of workloads. They are sought
as they are, in hex and in base64, before the data key is destroyed and after.
"""

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infrastructure.audit.export import export_bundle
from infrastructure.client import acts
from infrastructure.erasure import destroy_keys
from infrastructure.keys.keyring import Keyring
from infrastructure.keys.wallet import Purpose
from infrastructure.ledger import Ledger
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.embedded import EmbeddedServer
from infrastructure.postgres.program import account_for, run
from infrastructure.projector import Projector
from infrastructure.rotation import rotate_data_key
from tests.commands.cell import Cell, Member, founded
from tests.commands.driver import Driver
from tests.database import TestServer, running_server

PLANTED = "Planted" + "Zx7qKw"
CONTROL = "Control" + "Zx7qKw"


def spellings(raw: bytes) -> Iterator[bytes]:
    """Yield bytes as they are, in hex, and in both alphabets of base64 wherever they may begin."""
    yield raw
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for before in range(3):
        padded = bytes(before) + raw
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(padded)
            yield text[-(-before * 4 // 3) + (before > 0) : len(padded) // 3 * 4]


def places(word: str | bytes, *folders: Path) -> list[str]:
    """Return the files that hold a word in any spelling."""
    raw = word.encode() if isinstance(word, str) else word
    sought = re.compile(b"|".join(map(re.escape, spellings(raw))))
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    assert files
    return [path.name for path in files if sought.search(path.read_bytes())]


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    """A server of this module's own: its files are all read."""
    with running_server(tmp_path_factory.mktemp("own")) as server:
        yield server


def checkpoint(server: TestServer, name: str) -> None:
    with psycopg.connect(server.conninfo(name, SUPERUSER), autocommit=True) as admin:
        admin.execute("CHECKPOINT")


def backup(server: EmbeddedServer, out: Path) -> Path:
    """Copy the cluster's files."""
    return Path(shutil.copytree(server.cluster, out, ignore=shutil.ignore_patterns("postmaster.*")))


def dump(server: TestServer, name: str, folder: Path) -> Path:
    """Write a database out with pg_dump."""
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    path = folder / "dump.sql"
    path.touch()
    path.chmod(0o666)
    conninfo = f"--dbname={server.conninfo(name, SUPERUSER)}"
    with (folder / "log").open("wb") as log:
        assert (
            run(account_for(server.server.cluster), "pg_dump", conninfo, f"--file={path}", log=log, timeout_s=60) == 0
        )
    assert b"stored_events" in path.read_bytes()
    return folder


def life(cell: Cell) -> Member:
    """Let a tenant say the planted word wherever it can say something."""
    member = cell.join(f"{PLANTED}Dao", persons=[f"{PLANTED}-ada", f"{PLANTED}-bob"], admins=2)
    member.adopt(
        {"kind": "notification", "recipients": [f"{PLANTED}-monitor"]},
        {"kind": "re_authorisation", "roles": ["admin", f"{PLANTED}-role"], "threshold": 1},
        {"kind": "no_colocation", "authorised": [f"{PLANTED}Friend"], "tags": [f"{PLANTED}-tag"]},
    )
    said: dict[str, Any] = {
        "trigger": f"{PLANTED}-trigger",
        "tags": (f"{PLANTED}-own",),
        "forbid_tags": (f"{PLANTED}-other",),
    }
    inputs = (b"1871,1120\n1872,1160\n", b"950\n")
    cell.run(*cell.place(member, inputs, **said))
    Projector(cell.ledger).catch_up()
    rotate_data_key(cell.ledger, member.log_id)
    (legible,) = cell.place(member, (PLANTED.encode(), PLANTED.encode()), **said)
    Driver(cell, legible).whole()
    (failing,) = cell.place(member, **said)
    driver = Driver(cell, failing)
    driver.evidence()
    driver.started()
    driver.tell({
        "kind": "faulted", "fault": "trap", "detail": f"{PLANTED} detail", "fuel": 1, "memory_bytes": 65_536,
        "duration_ms": 5,
    })  # fmt: skip
    driver.reset()
    cell.settle()
    acts.refuse_retry(cell.ledger, failing, member.admins[:1])
    kid = member.admins[1].thumbprint(Purpose.GOVERNANCE)
    acts.revoke(cell.ledger, member.tenant, member.admins[:1], kid, f"{PLANTED} reason")
    cell.submit(member, **said)  # waits, and is repeated
    Projector(cell.ledger).catch_up()
    return member


def test_the_search_finds_every_spelling_at_every_offset(tmp_path: Path) -> None:
    for number, shift in enumerate(range(7)):
        for encode in (bytes, bytes.hex, base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"." * shift + PLANTED.encode() + b"." * number)
            path = tmp_path / f"{number}-{encode.__name__}"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert len(places(PLANTED, tmp_path)) == 28
    assert places("Another" + "Zx7qKw", tmp_path) == []


def test_nothing_that_a_tenant_said_is_anywhere(own_server: TestServer, tmp_path: Path) -> None:
    with own_server.database() as name:
        cell = founded(tmp_path / "cell", own_server.conninfo(name))
        try:
            member = life(cell)
            published = tmp_path / "published"
            export_bundle(cell.ledger, member.log_id, published)
            with psycopg.connect(own_server.conninfo(name, SUPERUSER), autocommit=True) as admin:
                admin.execute("CREATE TABLE public.control (word text)")
                admin.execute("INSERT INTO public.control VALUES (%s)", (CONTROL,))
            checkpoint(own_server, name)
            before = [
                backup(own_server.server, tmp_path / "backup"), dump(own_server, name, tmp_path / "dump"), published,
                cell.folder / "data", own_server.server.cluster.parent,
            ]  # fmt: skip
            assert len(places(CONTROL, *before)) >= 5, "heap and log, twice, and the dump"
            assert PLANTED in repr(cell.history(member)), "the tenant's own log says it"
            assert places(PLANTED, *before) == []

            acts.order_erasure(cell.ledger, member.tenant, member.admins[:1])
            cell.settle()
            cell.clock.advance_to(cell.clock.now_ms() + 7 * 86_400_000)
            cell.settle()
            kept = _keys(cell.ledger, member)
            assert places(kept[-1], cell.folder / "data")
            assert destroy_keys(cell.ledger, member.log_id).plain_until is None
            checkpoint(own_server, name)
            after = [
                backup(own_server.server, tmp_path / "backup after"),
                dump(own_server, name, tmp_path / "dump after"),
                cell.folder / "data",
                own_server.server.cluster.parent,
            ]
            assert places(PLANTED, *before, *after) == []
            for secret in kept:
                assert places(secret, *after) == []
        finally:
            cell.close()


def _keys(ledger: Ledger, member: Member) -> list[bytes]:
    """Return a tenant's data keys, and the file in which they lie wrapped."""
    assert isinstance(ledger.keyring, Keyring)
    file = ledger.keyring._directory / f"{member.log_id}.keys"
    return [*(key.secret for key in ledger.keyring.get(member.log_id).data_keys), file.read_bytes()[-48:]]
