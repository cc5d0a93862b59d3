"""After a fault, over HTTP: who the policy names decides, once, from their own machine."""

from collections.abc import Iterator

import pytest

from domain.errors import ConflictError, NotAuthorisedError, UnknownError
from tests.api.people import OTHER
from tests.api.service import Service, eventually
from tests.api.writing import remote, written
from tests.cli.conftest import EXAMPLES, TENANT
from tests.database import TestServer

STARVED = EXAMPLES / "starved.submission.json"
FAULTED = "execution.faulted.v1"


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with written(postgres, tmp_path_factory.mktemp("faulted")) as made:
        made.ledger.done("node", "drain", "idle", "--reason", "nobody runs it")
        made.node("node.json")
        yield made


def held(service: Service) -> str:
    """Hand in what faults, at the server; return it once it is held."""
    before = service.rows("execution.runtime_reset.v1")
    said = service.ledger.done(
        "submit", STARVED, "--server", service.url, "--tenant", TENANT, "--key", "alice.json", "--json"
    ).json
    eventually(lambda: service.rows("execution.runtime_reset.v1") > before)
    workload = str(said["workload"])
    assert service.rows(FAULTED)
    return workload


def test_a_held_workload_goes_on_by_the_command_with_other_bounds_and_the_fault_is_decided_once(
    service: Service,
) -> None:
    workload = held(service)
    before = service.rows("cac.issued.v1")
    said = service.ledger.done(
        "retry", "authorize", workload, "--fuel", "10000000", "--server", service.url, "--tenant", TENANT, "--key",
        "alice.json", "--json",
    ).json  # fmt: skip
    assert said["attempt"] == 2
    assert [one["topic"] for one in said["places"]] == ["execution.retry_authorized.v1", "workload.queued.v1"]
    assert len(said["acknowledgements"]) == 2
    eventually(lambda: service.rows("cac.issued.v1") > before)
    with remote(service) as asked, pytest.raises((ConflictError, UnknownError)):
        asked.act("/v1/retries", {"act": "refuse_retry", "execution": workload}, [service.wallet("alice.json")])


def test_a_fault_is_refused_its_retry_by_its_own_tenants_people_only(service: Service) -> None:
    workload = held(service)
    before = service.rows("execution.retry_refused.v1")
    claims = {"act": "refuse_retry", "execution": workload}
    with remote(service, "bob.json", OTHER) as other, pytest.raises(UnknownError, match="there is nothing here"):
        other.act("/v1/retries", claims, [service.wallet("bob.json")])
    with remote(service) as asked, pytest.raises(NotAuthorisedError):
        asked.act("/v1/retries", claims, [service.wallet("bob.json")])
    with remote(service, "sid.json") as asked, pytest.raises(NotAuthorisedError, match="role reauthoriser"):
        asked.act("/v1/retries", claims, [service.wallet("sid.json")])  # no policy names that role here
    assert service.rows("execution.retry_refused.v1") == before
    with remote(service, "sid.json") as asked:  # a signatory asks; an admin has signed
        assert asked.act("/v1/retries", claims, [service.wallet("alice.json")]).acknowledgements
    assert service.rows("execution.retry_refused.v1") == before + 1


def test_what_a_server_gives_of_a_cac_is_verified_and_shown(service: Service) -> None:
    at = ("--server", service.url, "--tenant", TENANT, "--key", "alice.json", "--json")
    rows = service.ledger.done("cac", "list", *at).json["cacs"]
    assert rows
    shown = service.ledger.done("cac", "show", rows[0]["cac"], *at).json
    assert shown["cac"]["cac_id"] == rows[0]["cac"]
