"""The records of commands follow from the entries alone: the same rows as the commands themselves wrote."""

from collections.abc import Iterator
from hashlib import sha256

import psycopg
import pytest

from domain.statements import GOVERNANCE
from domain.time import DAY_MS
from infrastructure.client import acts, disputes, offers
from infrastructure.keys.wallet import Purpose
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.thaw.restored import commands_of, payloads_of
from tests.commands.cell import CLASS, FAMILIES, FLOOD, Cell, Member, founded
from tests.commands.court import about, court, executed
from tests.commands.driver import Driver
from tests.database import TestServer, postgres
from tests.publish.restoring import opened

__all__ = ["postgres"]


@pytest.fixture(scope="module")
def whole(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cell, str]]:
    with postgres.database() as name:
        made = founded(tmp_path_factory.mktemp("cell"), postgres.conninfo(name))
        everything(made)
        yield made, postgres.conninfo(name, SUPERUSER)
        made.close()


def everything(cell: Cell) -> None:
    """Give every command that there is, at least once."""
    ledger, member = cell.ledger, cell.join(admins=2)
    (execution,) = cell.place(member)
    Driver(cell, execution).whole()
    member.adopt({"kind": "re_authorisation", "roles": ["admin"], "threshold": 1})
    for decide in (acts.authorize_retry, acts.refuse_retry):
        (failing,) = cell.place(member)
        Driver(cell, failing).fail()
        decide(ledger, failing, member.admins[:1])
    cell.settle()
    refused(cell, cell.place(member)[0])
    clerk = acts.principal(cell.wallet("clerk"), Purpose.GOVERNANCE, "clerk", GOVERNANCE)
    acts.enrol(ledger, member.tenant, member.admins, clerk)
    acts.revoke(ledger, member.tenant, member.admins, clerk.kid, "left")
    acts.renew_credential(ledger, member.tenant, [cell.root], families=FAMILIES, resource_classes=(CLASS,))
    acts.adopt_levels(ledger, [cell.root], ["Finance"])
    keeper = cell.wallet("Keeper")
    offers.stand(ledger, [cell.root], keeper, pool="reserve", operator="Keeper", until_ms=cell.clock.now_ms() + DAY_MS)
    offers.withdraw(ledger, "reserve", "Keeper", wallet=keeper)
    acts.drain_node(ledger, [cell.root], "beta", "moves")
    _disputed(cell, member)
    other = cell.join()
    acts.cancel(ledger, other.tenant, other.admins[0], cell.submit(other))
    acts.deprecate_clause(ledger, cell.owner.tenant, cell.owner.admins, FLOOD, "old")


def _disputed(cell: Cell, member: Member) -> None:
    there = court(cell)
    _, cac = executed(cell, member)
    for decided in (True, False):
        dispute = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
        disputes.attach(there.bench(), dispute, "gauge", b"1871,1")
        disputes.answer(there.operator(there.operator_of(cac)), dispute, "right")
        if decided:
            disputes.decide(there.bench(), dispute, "upheld", "it stands")
        else:
            disputes.withdraw(there.tenant(member), dispute, "settled")
    dispute = disputes.open_dispute(there.tenant(member), about(cac), "wrong")
    disputes.answer(there.operator(there.operator_of(cac)), dispute, "right")
    disputes.decide(there.bench(), dispute, "overturned", "wrong")


def refused(cell: Cell, execution: str) -> None:
    driver = Driver(cell, execution)
    driver.evidence()
    driver.seq = 7
    assert driver.started().answer["accepted"] is False


def test_what_the_entries_say_is_what_the_commands_recorded(whole: tuple[Cell, str]) -> None:
    cell, superuser = whole
    ledger = cell.ledger
    derived = {
        (one.log_id, one.issuer, one.command_id): one
        for log in ledger.logs()
        for recorded in ledger.history(log.log_id)
        for one in commands_of(ledger, recorded)
    }
    with psycopg.connect(superuser) as connection:
        rows = connection.execute("SELECT tenant_id, issuer, command_id, answer FROM ledger.commands").fetchall()
    stored = {row[:3]: opened(cell, *row) for row in rows}
    assert derived.keys() == stored.keys()
    for key, command in derived.items():
        assert sha256(command.body).hexdigest() == stored[key]["digest"]
        assert command.answer == stored[key]["answer"] or not stored[key]["answer"], "but for what nobody is answered"
    assert any(one["answer"].get("accepted") is False for one in stored.values())
    assert {issuer for _, issuer, _ in stored} >= {"tenant-name", "workload-id", "platform-id", "enclave-key"}


def test_every_stored_payload_is_named_by_an_entry(whole: tuple[Cell, str]) -> None:
    cell, superuser = whole
    ledger = cell.ledger
    named = {
        (log.log_id, bytes.fromhex(digest))
        for log in ledger.logs()
        for recorded in ledger.history(log.log_id)
        for digest in payloads_of(recorded.event)
    }
    with psycopg.connect(superuser) as connection:
        stored = set(connection.execute("SELECT tenant_id, digest FROM ledger.payloads").fetchall())
    assert stored == named
