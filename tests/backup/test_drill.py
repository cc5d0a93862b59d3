"""The drill: a cell is backed up, goes on, is destroyed, restored, found frozen, thawed, and proves all it signed."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from infrastructure.backup.saving import save_keyring
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.addresses import cell_addresses
from infrastructure.keys.keyring import Keyring
from infrastructure.notices.webhooks import Addresses
from infrastructure.postgres.embedded import EmbeddedServer
from tests.api.service import eventually
from tests.cli.conftest import EXAMPLES, TENANT, Installation, first_steps
from tests.database import TestServer, as_role, postgres

__all__ = ["postgres"]


@pytest.fixture
def ledger(postgres: TestServer, tmp_path: Path) -> Iterator[Installation]:
    with postgres.database() as name:
        made = Installation(tmp_path / "old", {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        made.folder.mkdir()
        first_steps(made)
        yield made


def submit(ledger: Installation) -> None:
    given = ("--tenant", TENANT, "--key", ledger.folder.parent / "old/alice.json")
    ledger.done("submit", EXAMPLES / "flood.submission.json", *given)


def test_a_cell_that_was_destroyed_comes_back_from_an_older_backup_and_what_it_signed_later_with_it(
    ledger: Installation, postgres: TestServer, tmp_path: Path
) -> None:
    submit(ledger)
    ledger.done("anchor", "run", "--once")
    archive, keyring = tmp_path / "one.backup", tmp_path / "apart.backup"
    said = ledger.done("backup", "--to", archive, "--keys", keyring, "--unsealed", "--json").json
    assert said["logs"] == 3
    assert said["rows"] > 20
    assert archive.stat().st_mode & 0o777 == keyring.stat().st_mode & 0o777 == 0o600
    before = ledger.sizes()
    submit(ledger)
    ledger.done("anchor", "run", "--once")
    after = ledger.sizes()
    assert sum(after.values()) > sum(before.values())
    ledger.done("audit", "export", "--tenant", TENANT, "--out", "bundle.old")
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("floors", "anchors", "published"):
        (ledger.data / name).rename(kept / name)
    shutil.rmtree(ledger.data)

    with postgres.database(migrated=False) as name:
        new = Installation(tmp_path / "new", {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        new.folder.mkdir()
        done = new.done("restore", "--from", archive, "--keys", keyring, "--kept", kept, "--json").json
        assert (done["logs"], done["destroy_again"]) == (3, [])
        refused = ("--tenant", TENANT, "--key", ledger.folder / "alice.json")
        new.refused("submit", EXAMPLES / "flood.submission.json", *refused, says="is frozen")
        assert new.inside("log", "publish").code == 1
        assert new.inside("anchor", "run", "--once").code == 1
        thawed = new.done("log", "thaw", "--all", "--json").json
        assert thawed["compared_with_nothing"] == []
        assert all(one["compared"] for one in thawed["thawed"])
        new.done("anchor", "thaw")
        assert new.sizes() == after
        new.done("anchor", "run", "--once")
        submit(new)
        new.done("anchor", "run", "--once")
        new.done("trust", "export", "--tenant", TENANT, "--out", "policy")
        new.done("audit", "export", "--tenant", TENANT, "--out", "bundle", "--with-keys", "all")
        assert new.inside("audit", "verify", "bundle", "--policy", "policy").code == 0
        assert new.inside("audit", "consistency", ledger.folder / "bundle.old", "bundle").code == 0
        assert new.inside("audit", "fsck").code == 0
        new.refused("restore", "--from", archive, "--keys", keyring, says="exists already")
        other = Installation(tmp_path / "other", new.environ)
        other.folder.mkdir()
        other.refused("restore", "--from", archive, "--keys", keyring, says="holds a ledger already")
        assert not list(other.folder.iterdir())


def test_a_backup_by_itself_gives_an_embedded_cell_that_is_published_anew(ledger: Installation, tmp_path: Path) -> None:
    submit(ledger)
    ledger.done("anchor", "run", "--once")
    archives = tmp_path / "archives"
    archives.mkdir()
    said = ledger.done("backup", "--to", archives, "--keys", tmp_path / "keyring", "--json").json
    new = Installation(tmp_path / "a new", {})
    new.folder.mkdir()
    sources = ("--from", said["archive"], "--keys", said["keyring"])
    new.refused("restore", *sources, says="--machine-key")
    assert not list(new.folder.iterdir())
    new.done("restore", *sources, "--machine-key", ledger.data / "keys/machine.key")
    with EmbeddedServer(new.data):
        new.refused("policy", "adopt", EXAMPLES / "in-country.policy.json", "--tenant", TENANT, "--key",
                    ledger.folder / "alice.json", says="is frozen")  # fmt: skip
        thawed = new.inside("log", "thaw", "--all", "--json")
        assert thawed.code == 3
        assert len(thawed.json["compared_with_nothing"]) == 3
        new.done("anchor", "thaw")
        assert new.sizes() == ledger.sizes()
        new.done("anchor", "run", "--once")
        assert sorted(path.name for path in (new.data / "published/t").iterdir()) == sorted(
            path.name for path in (ledger.data / "published/t").iterdir()
        )
        for path in (ledger.data / "published/t").rglob("payload/*"):
            assert (new.data / path.relative_to(ledger.data)).read_bytes() == path.read_bytes()
        submit_again = ("--tenant", TENANT, "--key", ledger.folder / "alice.json", "--no-run")
        new.done("submit", EXAMPLES / "flood.submission.json", *submit_again)
        assert new.inside("audit", "fsck").code == 0


def test_what_does_not_belong_together_is_refused_before_anything_is_made(ledger: Installation, tmp_path: Path) -> None:
    archive, early, keyring = tmp_path / "a", tmp_path / "early", tmp_path / "k"
    ledger.done("backup", "--to", tmp_path / "first", "--keys", early, "--unsealed")
    ledger.done("key", "new", "bob.json", "--name", "bob")
    ledger.done(
        "tenant", "register", "--dao", "BobDAO", "--jurisdiction", "fra", "--clause", "UNDRR::Disaster::Flood",
        "--class", "Disaster::Flood@v1", "--key", "bob.json",
    )  # fmt: skip
    ledger.done("backup", "--to", archive, "--keys", keyring, "--unsealed")
    new = Installation(tmp_path / "new", {})
    new.folder.mkdir()
    new.refused("restore", "--from", keyring, "--keys", archive, says="not of the database")
    new.refused("restore", "--from", archive, "--keys", archive, says="not of the keyring")
    new.refused("restore", "--from", archive, "--keys", early, says="lacks the keys of 1 of 4 logs")
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    ended = new.inside("restore", "--from", tmp_path / "damaged", "--keys", keyring)
    assert ended.code == 1
    assert "no whole backup" in ended.err
    assert not list(new.folder.iterdir())
    (new.data).mkdir()
    (new.data / "x").touch()
    new.refused("restore", "--from", archive, "--keys", keyring, says="exists already")
    ledger.refused("backup", "--to", archive, says="replaces nothing")
    new.refused("backup", "--to", tmp_path / "none", says="there is no ledger")
    for path in (archive, tmp_path / "first"):
        assert b"machine.key" not in path.read_bytes(), "the keyring is never in the database's archive"


def test_a_backup_holds_no_webhook_in_the_clear(ledger: Installation, tmp_path: Path) -> None:
    ledger.done("notices", "webhook", "--recipient", "Parent", "--url", "https://parent.example/?token=sekret1")
    ledger.done("backup", "--to", tmp_path / "a", "--keys", tmp_path / "k", "--unsealed")
    kept = ledger.data / "notices/webhooks.json"
    kept.write_text('{"Parent":"https://parent.example/?token=sekret2"}')  # as a release before this one kept it
    refused = Installation(ledger.folder, {**ledger.environ, "LEDGER_KEYRING_PASSPHRASE": "wrong"})
    refused.refused("backup", "--to", tmp_path / "b", says="URLs of webhooks lie in the clear")
    assert not (tmp_path / "b").exists()
    ledger.done("backup", "--to", tmp_path / "b")
    for archive in ("a", "b"):
        held = (tmp_path / archive).read_bytes()
        assert b"webhooks.json" in held
        assert b"parent.example" not in held
    new = Installation(tmp_path / "new", {})
    new.folder.mkdir()
    new.done("restore", "--from", tmp_path / "b", "--keys", tmp_path / "k")
    cell = cell_addresses(Keyring.open(new.data / "keys", SystemEntropy()), SystemEntropy())
    assert Addresses(new.data / "notices", cell).read() == {"Parent": "https://parent.example/?token=sekret2"}


def test_a_keyring_without_generations_that_the_database_rests_on_is_refused(
    ledger: Installation, tmp_path: Path
) -> None:
    ledger.done("backup", "--to", tmp_path / "first", "--keys", tmp_path / "early", "--unsealed")
    ledger.done("key", "rotate", "--tenant", TENANT)
    ledger.done("backup", "--to", tmp_path / "data", "--keys", tmp_path / "between", "--unsealed")
    ledger.done("log", "rotate-key", "--tenant", "root")
    ledger.done("log", "publish")
    ledger.done("backup", "--to", tmp_path / "all", "--keys", tmp_path / "late", "--unsealed")
    new = Installation(tmp_path / "new", {})
    new.folder.mkdir()
    sources = ("restore", "--from", tmp_path / "all", "--keys")
    says = "signing generation 1, on which the database rests: take the keyring's"
    new.refused(*sources, tmp_path / "early", says=says)
    assert "generation 1, ledger" in new.said[-1]
    new.refused(*sources, tmp_path / "between", says=says)
    assert "generation 1, ledger" not in new.said[-1]
    kept = ("--kept", ledger.data)
    says = "on which what was published since rests"
    new.refused("restore", "--from", tmp_path / "first", "--keys", tmp_path / "early", *kept, says=says)
    new.refused("restore", "--from", tmp_path / "data", "--keys", tmp_path / "between", *kept, says=says)
    assert not list(new.folder.iterdir())
    new.done(*sources, tmp_path / "late")


def test_a_keyring_that_drew_another_generation_of_that_number_is_refused(ledger: Installation, tmp_path: Path) -> None:
    submit(ledger)
    ledger.done("backup", "--to", tmp_path / "first", "--keys", tmp_path / "early", "--unsealed")
    shutil.copytree(ledger.data / "keys", tmp_path / "other/keys")
    ledger.done("key", "rotate", "--tenant", TENANT)
    ledger.done("backup", "--to", tmp_path / "all")
    other = Keyring.open(tmp_path / "other/keys", SystemEntropy())
    for log_id in other.log_ids():
        other.rotate_data_key(log_id)
        other.rotate_signing_keys(log_id)
    save_keyring(tmp_path / "other", tmp_path / "apart", at=datetime.now(UTC), unsealed=True)
    new = Installation(tmp_path / "new", {})
    new.folder.mkdir()
    new.refused("restore", "--from", tmp_path / "all", "--keys", tmp_path / "apart", says="generation 1, on which the")
    other_secrets = tmp_path / "other/keys/platform.secrets"
    assert other_secrets.exists()
    other_secrets.unlink()
    save_keyring(tmp_path / "other", tmp_path / "without", at=datetime.now(UTC), unsealed=True)
    new.refused("restore", "--from", tmp_path / "first", "--keys", tmp_path / "without", says="the cell's own secrets")
    assert not list(new.folder.iterdir())


def test_a_tenant_that_was_erased_and_whose_keys_come_back_is_named(ledger: Installation, tmp_path: Path) -> None:
    archive, keyring = tmp_path / "a", tmp_path / "k"
    with psycopg.connect(as_role(ledger.environ["LEDGER_DATABASE_URL"])) as connection:  # as `key destroy` leaves it
        connection.execute(
            "UPDATE ledger.log_heads SET closed = true FROM ledger.logs WHERE log_id = tenant_id AND slot > 1"
        )
    ledger.done("backup", "--to", archive, "--keys", keyring, "--unsealed")
    new = Installation(tmp_path / "new", {})
    new.folder.mkdir()
    ended = new.inside("restore", "--from", archive, "--keys", keyring, "--json")
    assert ended.code == 3
    assert len(ended.json["destroy_again"]) >= 1


def test_a_restore_that_was_killed_leaves_nothing_once_the_next_one_has_begun(
    ledger: Installation, tmp_path: Path
) -> None:
    archive, keyring = tmp_path / "a", tmp_path / "k"
    ledger.done("backup", "--to", archive, "--keys", keyring, "--unsealed")
    new = Installation(tmp_path / "new", {})
    new.folder.mkdir()
    sources = ("restore", "--from", archive, "--keys", keyring)
    process = new.start(*sources, "--data-dir", new.data)
    eventually(lambda: list(new.folder.glob(".data.restoring.*/postgres/cluster/postmaster.pid")))
    (left,) = new.folder.iterdir()
    pid = int((left / "postgres/cluster/postmaster.pid").read_text().splitlines()[0])
    process.kill()
    process.communicate()
    new.done(*sources)
    assert [path.name for path in new.folder.iterdir()] == ["data"]
    assert "restoring" not in {path.name for path in new.data.iterdir()}
    eventually(lambda: not Path(f"/proc/{pid}/cwd").exists())
