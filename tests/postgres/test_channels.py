"""What a connection bound to tenant A is answered does not depend on what tenant B has or does: a test per channel.

Each probe is SQL that A's connection runs: before B exists, and again while B has rows of every kind, statistics are
fresh, and B's sessions hold locks. Both answers, rows or the error's whole text, are the same. A superuser's answers to
the same probes differ, so the probes would tell.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Identifier

from domain.transparency.frontier import Frontier
from infrastructure.postgres.batch import Placement, prepare
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.queries import load
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import CommandRecord, Payload
from infrastructure.postgres.roles import Role
from infrastructure.postgres.views import Views
from tests.database import TestServer, as_role
from tests.postgres.sample import event

A, B = UUID(int=0xA), UUID(int=0xB)
STREAM = UUID(int=0x51)
"""A stream that both have; so are versions, command ids, topics, keys of view rows and payloads the same."""
ONLY_B = UUID(int=0x52)
SEALED = b"the same sealed bytes"

Told = dict[str, list[dict[str, object]]]

_APPEND = load("append.sql")
_CHANNEL = "-- channel: "


def probes(file: str) -> dict[str, list[str]]:
    """Return the statements of a file, by channel."""
    found: dict[str, list[str]] = {}
    several: list[str] = []
    for line in Path(__file__).with_name(file).read_text().splitlines():
        if line.startswith(_CHANNEL):
            several = found[line.removeprefix(_CHANNEL)] = []
        elif line and not line.startswith("-- "):
            several.append(line)
    return found


PROBES = probes("probes.sql")
HARMFUL = {"SELECT pg_cancel_backend(1)", *PROBES["other roles"]}
"""What a superuser is better not asked for."""
CLOSED = {"foreign keys", "names", "temporary tables", "other roles"}
"""Channels that would only open other ones."""
UNCLOSED = probes("unclosed.sql")


@dataclass
class World:
    """A database in which A has rows; B as well, later."""

    conninfo: str
    datastore: LedgerDatastore

    @property
    def recorder(self) -> LedgerRecorder:
        """Return a recorder over the whole cell."""
        return LedgerRecorder(self.datastore)

    def fill(self, tenant: UUID, slot: int, events: int) -> None:
        """Give a tenant rows of every kind, under the same names as any other's."""
        self.recorder.create_log(tenant, slot, f"ledger.example/t/{slot}")
        self.recorder.append(
            [event(tenant, STREAM, version, b"%d" % version) for version in range(events)],
            commands=[CommandRecord(tenant, "issuer", "c1", b"d", b"a")],
            payloads=[Payload(tenant, sha256(SEALED).digest(), SEALED)],
        )
        Views(self.datastore).apply("usage_v1", tenant, 0, {"1": b"x", "2": b"y"}, to_position=events)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Let B be everything that it can be: large, analysed, at work."""
        self.fill(B, 2, 300)
        self.recorder.append([event(B, ONLY_B, 0, b"not a number"), event(B, ONLY_B, 1)])
        Views(self.datastore).apply("usage_v1", B, 300, {"only-b": b"x"}, to_position=301)
        with psycopg.connect(as_role(self.conninfo), autocommit=True) as admin:
            admin.execute("VACUUM ANALYZE")
            admin.execute("SELECT lo_create(4711)")
            admin.execute("SELECT pg_advisory_lock(1)")
            with self.datastore.appends.get_connection() as writer, writer.transaction(force_rollback=True):
                writer.execute("UPDATE ledger.log_heads SET tree_size = 1000 WHERE tenant_id = %s", (B,))
                yield
            admin.execute("SELECT lo_unlink(4711)")

    def answers(self, login: str) -> dict[str, object]:
        """Return what each probe is answered, on a connection bound to A; what a superuser is, where he asks."""
        asked = (probe for several in PROBES.values() for probe in several)
        return {probe: self.ask(login, probe) for probe in asked if login != SUPERUSER or probe not in HARMFUL}

    def ask(self, login: str, probe: str) -> object:
        """Run one probe in a transaction of its own."""
        with bound(self.conninfo, login, A) as connection:
            try:
                cursor = connection.cursor(row_factory=tuple_row)
                if probe.startswith("COPY"):
                    with cursor.copy(probe.encode()) as copy:
                        return list(copy.rows())
                cursor.execute(probe.encode())
                while cursor.nextset():
                    pass
                return cursor.fetchall() if cursor.description else cursor.statusmessage
            except psycopg.Error as error:
                return f"{error.sqlstate} {error}"
            finally:
                connection.rollback()


@contextmanager
def bound(conninfo: str, login: str, tenant: UUID) -> Iterator[psycopg.Connection]:
    """Connect as bound reads do, by the tenants' own login or by the program's; a superuser stays what he is."""
    role = "none" if login == SUPERUSER else Role.TENANT
    options = f"-c role={role} -c lock_timeout=100ms"
    with psycopg.connect(as_role(conninfo, login), options=options) as connection:
        connection.execute(load("tenant.sql")["bind"], {"log_id": tenant})
        yield connection


@pytest.fixture
def world(conninfo: str, datastore: LedgerDatastore) -> World:
    made = World(conninfo, datastore)
    made.fill(A, 1, 3)
    return made


@pytest.fixture(scope="module")
def told(postgres: TestServer) -> Iterator[Told]:
    """What each login was answered before B was there, and while it was; and what a superuser was."""
    with postgres.database() as name, LedgerDatastore(postgres.conninfo(name)) as datastore:
        world = World(postgres.conninfo(name), datastore)
        world.fill(A, 1, 3)
        logins = (Role.TENANT, "ledger", SUPERUSER)
        before = {login: world.answers(login) for login in logins}
        with world.busy():
            yield {login: [before[login], world.answers(login)] for login in logins}


@pytest.mark.parametrize("channel", PROBES)
def test_no_answer_depends_on_another_tenant(told: Told, channel: str) -> None:
    before, after = told[Role.TENANT]
    assert {probe: after[probe] for probe in PROBES[channel]} == {probe: before[probe] for probe in PROBES[channel]}


@pytest.mark.parametrize("channel", sorted(PROBES.keys() - {"other roles"}))
def test_nor_does_it_where_tenants_share_the_programs_login(told: Told, channel: str) -> None:
    before, after = told["ledger"]
    assert {probe: after[probe] for probe in PROBES[channel]} == {probe: before[probe] for probe in PROBES[channel]}


@pytest.mark.parametrize("channel", sorted(PROBES.keys() - CLOSED))
def test_the_probes_would_tell_whoever_may_see_all(told: Told, channel: str) -> None:
    before, after = told[SUPERUSER]
    assert [probe for probe in PROBES[channel] if before.get(probe) != after.get(probe)]


def test_own_rows_are_read(told: Told) -> None:
    rows = told[Role.TENANT][1]["SELECT * FROM ledger.stored_events ORDER BY leaf_index"]
    assert isinstance(rows, list)
    assert [(row[0], row[5]) for row in rows] == [(A, 0), (A, 1), (A, 2)]


def test_what_postgresql_cannot_close_is_known(world: World) -> None:
    """So no tenant gets a connection: the interface runs fixed statements only (`TenantReader`)."""
    before = {name: [world.ask(Role.TENANT, probe) for probe in asked] for name, asked in UNCLOSED.items()}
    with world.busy():
        after = {name: [world.ask(Role.TENANT, probe) for probe in asked] for name, asked in UNCLOSED.items()}
    assert [name for name in UNCLOSED if before[name] == after[name]] == []


def test_nobody_without_the_channels_name_hears_of_a_commit(world: World) -> None:
    secret = world.recorder.channel()
    guesses = ["ledger_feed", "ledger", "feed", "stored_events", "ledger_feed_", secret[:-1]]
    with (
        psycopg.connect(as_role(world.conninfo, Role.TENANT), autocommit=True) as tenant,
        psycopg.connect(world.conninfo, autocommit=True) as cell,
    ):
        for guess in guesses:
            tenant.execute(SQL("LISTEN {}").format(Identifier(guess)))
        cell.execute(SQL("LISTEN {}").format(Identifier(secret)))
        world.fill(B, 2, 3)
        assert [one.payload for one in cell.notifies(timeout=5, stop_after=1)] == [""]
        assert list(tenant.notifies(timeout=0.2)) == []


def test_names_that_another_tenant_uses_are_free_and_nobody_waits_for_them(world: World) -> None:
    recorder = world.recorder
    recorder.create_log(B, 2, "ledger.example/t/2")
    columns = prepare([event(B, STREAM, 7)], [CommandRecord(B, "issuer", "c7", b"d", b"a")], [])
    placed = Placement(columns, {B: Frontier.empty()})
    with world.datastore.appends.get_connection() as other, other.transaction(force_rollback=True):
        other.execute(_APPEND["lock_heads"], {"log_ids": columns.log_ids_column()})
        other.execute(_APPEND["insert_commands"], columns.command_columns())
        other.execute(_APPEND["insert_events"], placed.event_columns())  # uncommitted, as if for ever
        with world.datastore.appends.get_connection() as mine:
            mine.execute("SET lock_timeout = '50ms'")
        recorder.append([event(A, STREAM, 7)], commands=[CommandRecord(A, "issuer", "c7", b"d", b"a")])
    recorder.append([event(B, STREAM, 7)], commands=[CommandRecord(B, "issuer", "c7", b"d", b"a")])
    assert recorder.head(A).size == 4
    assert recorder.head(B).size == 1


def test_a_refusal_is_the_same_whatever_others_have(world: World) -> None:
    def refused(log_id: UUID) -> list[str]:
        found = []
        for attempt in (
            lambda: world.recorder.append([event(log_id, STREAM, 0)]),
            lambda: world.recorder.append([], commands=[CommandRecord(log_id, "issuer", "c1", b"d", b"a")]),
            lambda: world.recorder.append([event(UUID(int=0xC), STREAM, 0)]),
            lambda: world.recorder.log(UUID(int=0xC)),
        ):
            with pytest.raises(Exception) as caught:
                attempt()
            found.append(f"{type(caught.value)} {caught.value}")
        return found

    before = refused(A)
    world.fill(B, 2, 5)
    assert refused(A) == before
    assert refused(B) == before
