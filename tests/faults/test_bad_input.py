"""Bad input where a person meets it: one clear line, the exit code that goes with it, and nothing lost.

A wrong passphrase, and a keyring that is damaged or missing: tests/cli/test_keys.py and tests/keys/test_keyring.py.
"""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from domain.errors import MalformedError
from infrastructure.clock import SystemClock
from infrastructure.commands.loading import find_log
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.keys.plaintext import encode_members
from infrastructure.ledger import Ledger, open_ledger
from infrastructure.postgres.migrate import migrations
from infrastructure.postgres.records import LoggedEvent
from tests.append.scene import Scene, open_scene
from tests.cli.conftest import TENANT, Installation, first_steps
from tests.database import as_role

TRAP = "ledger_trap"
"""A module that says when it is imported."""


@pytest.fixture
def own(conninfo: str, tmp_path: Path) -> Installation:
    """A founded installation of a test's own."""
    made = Installation(tmp_path, {"LEDGER_DATABASE_URL": conninfo})
    first_steps(made)
    return made


@pytest.fixture
def scene(conninfo: str, tmp_path: Path) -> Iterator[Scene]:
    with open_scene(conninfo, tmp_path / "keys", logs=2) as made:
        yield made


def opened(own: Installation) -> Ledger:
    return open_ledger(own.data, own.environ, clock=SystemClock(), ids=SystemIds(), entropy=SystemEntropy())


def planted(own: Installation, topic: str, sealed_topic: str | None = None) -> None:
    """Append an entry with a topic that this program does not know, rightly sealed, to a tenant's log."""
    with opened(own) as ledger:
        log = find_log(ledger, TENANT)
        version = len(ledger.stream(log.log_id, log.log_id))
        sealer = ledger.sealers.readable(log.log_id)
        plaintext = encode_members(log.log_id, version, sealed_topic or topic, 1, {"command": "true"})
        entry = sealer.seal(log.log_id, plaintext)
        ledger.recorder.append([LoggedEvent(log.log_id, version, topic, entry, log.log_id)])


@pytest.mark.parametrize("topic", ["tenant.policy_adopted.v9", "tenant.abolished.v1"])
def test_an_unknown_topic_or_version_in_the_database_is_named_and_stops_its_own_log_only(
    own: Installation, topic: str
) -> None:
    before, policy = own.sizes(), own.folder / "policy.json"
    policy.write_text('{"rules":[]}')
    planted(own, topic)
    own.refused("audit", "replay", "--tenant", TENANT, says=topic)
    own.refused("policy", "adopt", "--tenant", TENANT, policy, "--key", "alice.json", says=topic)
    assert own.done("audit", "replay", "--tenant", "root", "--json").json["size"] == before["root"]
    assert own.done("audit", "replay", "--tenant", "platform", "--json").json["size"] == before["platform"]
    assert own.done("log", "publish", "--json").json["failed"] == {}, "what is stored is published, readable or not"


@pytest.mark.parametrize("topic", [f"{TRAP}:Event", TRAP, f"{TRAP}.Event", f"{TRAP}#Event"])
def test_a_forged_topic_that_names_a_module_imports_nothing(own: Installation, topic: str) -> None:
    sprung = own.folder / "sprung"
    (own.folder / f"{TRAP}.py").write_text(f"open({str(sprung)!r}, 'w')\nclass Event: pass\n")
    planted(own, topic)
    ended = own.run("audit", "replay", "--tenant", TENANT, code=1)  # its folder is where Python looks first
    assert "topic" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not sprung.exists()


def test_a_column_that_is_not_what_was_sealed_is_refused_before_its_topic_is_looked_up(own: Installation) -> None:
    planted(own, "os:system", "tenant.policy_adopted.v1")
    own.refused("audit", "replay", "--tenant", TENANT, says="columns are not what the sealed entry says")


def test_a_schema_newer_than_the_program_is_refused_by_every_command_and_left_alone(
    own: Installation, conninfo: str
) -> None:
    before = own.sizes()
    newer = len(migrations()) + 1
    with psycopg.connect(as_role(conninfo), autocommit=True) as superuser:
        superuser.execute(
            "INSERT INTO ledger.schema_migrations (version, name, digest) VALUES (%s, 'newer', sha256('x'))", (newer,)
        )
        for command in (("tenant", "list"), ("log", "publish"), ("audit", "replay", "--tenant", TENANT)):
            own.refused(
                *command, says=f"the database has schema {newer}, this program knows {newer - 1}: use the newer"
            )
        superuser.execute("ALTER TABLE ledger.schema_migrations DISABLE TRIGGER ALL")
        superuser.execute("DELETE FROM ledger.schema_migrations WHERE version = %s", (newer,))
    assert own.sizes() == before


def test_an_entry_over_the_bound_is_refused_with_its_whole_command(scene: Scene) -> None:
    one, other = scene.logs
    with pytest.raises(MalformedError, match="65535"):
        scene.ledger.append([scene.pending(other), scene.pending(one, text="x" * 65_535)])
    assert scene.ledger.head(one).size == scene.ledger.head(other).size == 0
    most = 65_535 - (65_000 - _room(scene, one))
    scene.ledger.append([scene.pending(one, text="x" * most)])
    assert len(next(iter(scene.ledger.recorder.every_entry(one))).entry) == 65_535
    with pytest.raises(MalformedError):
        scene.ledger.append([scene.pending(one, text="x" * (most + 1))])
    assert scene.ledger.head(one).size == 1


def _room(scene: Scene, log: UUID) -> int:
    """Return how much longer than its text an entry with a text of 65,000 is, taken from 65,000."""
    sealed = scene.ledger.mapper.seal(scene.pending(log, text="x" * 65_000), scene.ledger.clock.now_ms())
    return 65_000 - (len(sealed.state) - 65_000)


def test_ten_thousand_events_in_one_command_are_stored_together_in_one_commit(scene: Scene) -> None:
    log, other = scene.logs
    stream = scene.new_id()
    answer = scene.ledger.append([scene.pending(log, stream, version) for version in range(10_000)])
    assert [one.leaf_index for one in answer.recorded] == list(range(10_000))
    assert scene.ledger.head(log).size == 10_000
    assert scene.ledger.head(other).size == 0
    assert len({one.token for one in answer.acknowledgements}) == 1
