"""A served ledger with two tenants that have results, and people of every role who read."""

from collections.abc import Iterator
from typing import Final

import pytest

from infrastructure.keys.wallet import Purpose
from tests.api.service import Answered, Service
from tests.cli.conftest import EXAMPLES, TENANT, Installation, first_steps
from tests.database import TestServer

OTHER: Final = "HealthDAO/FRA"
PEOPLE: Final = {
    "alice": ("alice.json", TENANT, Purpose.GOVERNANCE), "sam": ("alice.json", TENANT, Purpose.SUBMISSION),
    "sid": ("sid.json", TENANT, Purpose.GOVERNANCE),
    "rita": ("rita.json", TENANT, Purpose.REPORT), "rene": ("rene.json", TENANT, Purpose.ENDORSEMENT),
    "bob": ("bob.json", OTHER, Purpose.GOVERNANCE), "ben": ("bob.json", OTHER, Purpose.SUBMISSION),
    "flora": ("flora.json", OTHER, Purpose.REPORT),
    "otto": ("otto.json", "platform", Purpose.REPORT), "pia": ("pia.json", "platform", Purpose.REPORT),
    "mona": ("mona.json", "root", Purpose.REPORT), "resi": ("resi.json", "root", Purpose.REPORT),
    "wes": ("wes.json", "platform", Purpose.REPORT),
    "root": ("data/root.key.json", "root", Purpose.GOVERNANCE),
}  # fmt: skip
"""By name: wallet, log, and which key asks."""


def people(ledger: Installation) -> None:
    """Register a second tenant, let both have a result, and enrol readers of each role, and a node that ran nothing."""
    ledger.done("key", "new", "bob.json", "--name", "bob")
    ledger.done(
        "tenant", "register", "--dao", "HealthDAO", "--jurisdiction", "fra", "--clause", "UNDRR::Disaster::Flood",
        "--class", "Disaster::Flood@v1", "--key", "bob.json",
    )  # fmt: skip
    for tenant, key in ((TENANT, "alice.json"), (OTHER, "bob.json")):
        ledger.done("submit", EXAMPLES / "flood.submission.json", "--tenant", tenant, "--key", key)
    ledger.done("node", "enrol", "--name", "idle", "--operator", "Idle", "--country", "deu", "--key", "idle.json")
    ledger.done("key", "new", "sid.json", "--name", "sid")
    ledger.done(
        "tenant", "enrol-key", "sid.json", "--tenant", TENANT, "--role", "reauthoriser", "--purpose", "governance",
        "--key", "alice.json",
    )  # fmt: skip
    for name, of, role, key in (
        ("rita", TENANT, "auditor", "alice.json"), ("rene", TENANT, "releaser", "alice.json"),
        ("flora", OTHER, "auditor", "bob.json"), ("otto", "root", "operator", "data/root.key.json"),
        ("mona", "root", "monitor", "data/root.key.json"), ("resi", "root", "resolver", "data/root.key.json"),
        ("pia", "root", "auditor", "data/root.key.json"), ("wes", "root", "witness", "data/root.key.json"),
    ):  # fmt: skip
        ledger.done("key", "new", f"{name}.json", "--name", name)
        ledger.done("principal", "enrol", f"{name}.json", "--of", of, "--role", role, "--key", key)


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Serve them."""
    with postgres.database() as name:
        made = Installation(tmp_path_factory.mktemp("read"), {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        first_steps(made)
        people(made)
        served = Service(made)
        try:
            yield served.start()
        finally:
            served.close()


def token(service: Service, who: str) -> str:
    """Return a token of one of the people, or of the node."""
    return service.token("idle.json") if who == "node" else service.token_of(*PEOPLE[who])


def get(service: Service, path: str, who: str) -> Answered:
    """Ask in somebody's name."""
    return service.ask("GET", path, token=token(service, who))
