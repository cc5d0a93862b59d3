"""Published logs from the command line: publish, status, proof, rotation, revocation, and a restored backup."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from domain.transparency.tlog_proof import TlogProof
from infrastructure.postgres.cluster import SUPERUSER
from tests.cli.conftest import EXAMPLES, TENANT, Installation, first_steps
from tests.database import TestServer

SUBMIT = ("--tenant", TENANT, "--key", "alice.json")


def submit(ledger: Installation) -> None:
    ledger.done("submit", EXAMPLES / "flood.submission.json", *SUBMIT)


def test_logs_are_published_proved_and_verified(ledger: Installation, tmp_path: Path) -> None:
    submit(ledger)
    assert ledger.inside("log", "status", "--json").json["lag"]["unpublished_entries"] > 0
    done = ledger.done("log", "publish", "--json").json
    assert done["published"] > 0
    assert (done["failed"], done["lag"]["unpublished_entries"]) == ({}, 0)
    assert ledger.done("log", "publish", "--json").json["published"] == 0
    status = ledger.done("log", "status", "--json").json
    assert all(log["size"] == log["published"] == log["floor"] for log in status["logs"])
    assert not any(log["frozen"] for log in status["logs"])
    proof = tmp_path / "entry.tlog-proof"
    said = ledger.done("log", "proof", "--tenant", TENANT, "--index", "3", "--out", proof, "--json").json
    found = TlogProof.parse(proof.read_bytes())
    assert (found.index, found.checkpoint().size, found.to_bytes().decode()) == (3, said["size"], said["proof"])
    again = ledger.inside("log", "proof", "--tenant", TENANT, "--index", "3", "--out", proof)
    assert (again.code, "exists already" in again.err) == (1, True)
    assert ledger.inside("log", "proof", "--tenant", TENANT, "--index", "999999").code == 1
    assert ledger.done("log", "proof", "--tenant", TENANT, "--index", "3").out == found.to_bytes().decode()


def test_a_bound_below_the_interval_is_refused_and_following_ends_when_interrupted(ledger: Installation) -> None:
    refused = ledger.inside("log", "publish", "--every", "10", "--unpublished-bound", "5", "--json")
    assert (refused.code, "interval" in refused.json["error"]) == (1, True)
    submit(ledger)
    follower = ledger.start("log", "publish", "--follow", "--every", "0.05", "--data-dir", ledger.data)
    try:
        while ledger.done("log", "status", "--json").json["lag"]["unpublished_entries"]:
            assert follower.poll() is None
    finally:
        follower.send_signal(2)
        follower.communicate(timeout=60)
    assert follower.returncode == 130


def test_rotated_keys_verify_from_an_old_key_and_a_revocation_refuses(ledger: Installation, tmp_path: Path) -> None:
    before = ledger.done("audit", "export", "--tenant", TENANT, "--out", tmp_path / "old", "--json").json
    rotated = ledger.done("log", "rotate-key", "--tenant", TENANT, "--json").json
    assert rotated["from_size"] >= before["size"]
    ledger.done("audit", "export", "--tenant", TENANT, "--out", tmp_path / "new", "--with-keys", "all")
    for key in (before["log_keys"][0], rotated["log_keys"][0]):
        verdict = ledger.done("audit", "verify", tmp_path / "new", "--log-key", key, "--json").json
        assert verdict["trust"] == "verified"
    vkeys = [
        ledger.done("log", "revocation", "key", tmp_path / f"{name}.json", "--name", name, "--json").json[
            "recovery_key"
        ]
        for name in ("anna", "bela")
    ]
    assert (tmp_path / "anna.json").stat().st_mode & 0o077 == 0
    note = tmp_path / "revoked.note"
    generation, size = str(rotated["generation"]), str(rotated["from_size"])
    ledger.done(
        "log", "revocation", "new", note, "--origin", rotated["origin"], "--generation", generation,
        "--last-good-round", "40", "--size", size, "--root", rotated["root"], "--key", tmp_path / "anna.json",
    )  # fmt: skip
    given = (
        "--recovery-key", vkeys[0], "--recovery-key", vkeys[1], "--recovery-threshold", "2", "--revocation", note,
        "--json",
    )  # fmt: skip
    few = ledger.inside("audit", "verify", tmp_path / "new", *given)
    assert (few.code, "2 are due" in few.json["error"]) == (1, True)
    signed = ledger.done("log", "revocation", "sign", note, "--key", tmp_path / "bela.json", "--json").json
    assert signed["signed_by"] == ["anna", "bela"]
    refused = ledger.inside("audit", "verify", tmp_path / "new", *given)
    assert (refused.code, refused.json["ok"]) == (1, False)
    assert f"generation {generation} were revoked" in refused.json["first_error"]
    assert ledger.inside("audit", "verify", tmp_path / "new", "--revocation", note).code == 64


@dataclass
class Restored:
    """An installation, and the same one over a database that was restored from a backup older than its checkpoints."""

    whole: Installation
    backup: Installation


@pytest.fixture
def restored(postgres: TestServer, tmp_path: Path) -> Iterator[Restored]:
    with (
        postgres.database() as name,
        psycopg.connect(postgres.conninfo("postgres", SUPERUSER), autocommit=True) as admin,
    ):
        whole = Installation(tmp_path, {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        first_steps(whole)
        submit(whole)
        whole.done("log", "publish")
        copy = f"{name}_restored"
        admin.execute(SQL("CREATE DATABASE {} OWNER ledger TEMPLATE {}").format(Identifier(copy), Identifier(name)))
        submit(whole)
        whole.done("log", "publish")
        yield Restored(whole, Installation(tmp_path, {"LEDGER_DATABASE_URL": postgres.conninfo(copy)}))
        admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(copy)))


def test_a_restored_backup_is_frozen_and_thawed(restored: Restored, tmp_path: Path) -> None:
    ledger, backup = restored.whole, restored.backup
    wanted = {log["origin"]: log["size"] for log in ledger.done("log", "status", "--json").json["logs"]}
    status = backup.inside("log", "status", "--json")
    frozen = [log for log in status.json["logs"] if log["frozen"]]
    assert (status.code, len(frozen) > 0) == (3, True)
    refused = backup.inside("submit", EXAMPLES / "flood.submission.json", *SUBMIT, "--json")
    assert refused.code == 1
    for said in ("may have been signed, but the database has size", "log thaw"):
        assert said in refused.json["error"]
    exported = backup.inside("audit", "export", "--tenant", TENANT, "--out", tmp_path / "refused", "--json")
    assert (exported.code, "is frozen" in exported.json["error"]) == (1, True)
    assert not (tmp_path / "refused").exists()
    assert backup.inside("log", "publish").code == 1
    assert backup.inside("log", "thaw").code == 64
    thawed = backup.done("log", "thaw", "--all", "--json").json
    assert {one["origin"] for one in thawed["thawed"]} == {one["origin"] for one in frozen}
    assert thawed["still_frozen"] == []
    assert {log["origin"]: log["size"] for log in backup.done("log", "status", "--json").json["logs"]} == wanted
    assert backup.done("log", "thaw", "--all").out == "no log is frozen\n"
    submit(backup)
    backup.done("log", "publish")
    backup.done("audit", "export", "--tenant", TENANT, "--out", tmp_path / "bundle", "--with-keys", "all")
    assert backup.done("audit", "verify", tmp_path / "bundle", "--json").json["ok"]
