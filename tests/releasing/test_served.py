"""Releases over HTTP, with real processes: service, node and releaser; and who may ask."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.errors import NotAuthorisedError
from domain.time import SECOND_MS
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange.answers import AnsweredError
from infrastructure.exchange.blocking import Client
from infrastructure.keys.wallet import Purpose
from infrastructure.statements import jws
from tests.api.service import Service, ended, eventually
from tests.database import TestServer, as_role
from tests.releasing.served import OWN, hand_in, releaser, root_issued, served_own, with_own_custody

AWAITED, RELEASED, ISSUED = "execution.release_awaited.v1", "execution.inputs_released.v1", "cac.issued.v1"
ABANDONED, FAULTED, REFUSED = "execution.abandoned.v1", "execution.faulted.v1", "execution.report_refused.v1"
SUBMITTED, DECLINED = "workload.submitted.v1", "execution.release_refused.v1"
LAKE = "LakeDAO/DEU"
NOTHING = "there is no such execution of this tenant"


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served_own(postgres, tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture(autouse=True)
def no_node_stays(service: Service) -> Iterator[None]:
    yield
    service.kill_nodes()
    while ASKING:
        ASKING.pop().close()


class Asking(Client):
    """A client that knows for whom it asks."""

    url = kid = tenant = ""


ASKING: list[Asking] = []


def client(service: Service, key: str = "river.json", tenant: str = OWN) -> Client:
    """Return a releaser's way to the ledger."""
    wallet = service.wallet(key)
    for known in ASKING:  # one token for all: strangers are given few a second
        if (known.url, known.kid, known.tenant) == (service.url, wallet.thumbprint(Purpose.ENDORSEMENT), tenant):
            return known
    made = Asking(service.url, wallet, SystemClock(), SystemEntropy(), purpose=Purpose.ENDORSEMENT, tenant=tenant)
    made.url, made.kid, made.tenant = service.url, wallet.thumbprint(Purpose.ENDORSEMENT), tenant
    ASKING.append(made)
    return made


def waiting(service: Service, key: str = "river.json", tenant: str = OWN, **asked: Any) -> list[str]:
    """Return what waits for a releaser."""
    found: list[str] = client(service, key, tenant).post("/v1/releases/waiting", asked)["executions"]
    return found


def count(service: Service, *topics: str) -> list[int]:
    return [service.rows(topic) for topic in topics]


def issued(service: Service, workload: str) -> list[str]:
    """Return the CACs of a workload."""
    rows = service.ledger.done("cac", "list", "--tenant", OWN, "--json").json["cacs"]
    return [row["cac"] for row in rows if row["workload"] == workload]


def clear(service: Service) -> None:
    """Bring what earlier tests left to its end."""

    def settled() -> bool:
        submitted, ended_well, faulted = count(service, SUBMITTED, ISSUED, FAULTED)
        return not waiting(service) and submitted == ended_well + faulted

    if not settled():
        service.node("node.json")
        releaser(service)
        eventually(settled, 60)
    service.kill_nodes()


def test_a_workload_becomes_a_cac_through_its_tenants_releaser(service: Service, tmp_path: Path) -> None:
    node = service.node("node.json")
    before = count(service, RELEASED)
    workload = hand_in(service)
    eventually(lambda: waiting(service))
    assert count(service, RELEASED) == before
    process = releaser(service)
    eventually(lambda: issued(service, workload))
    code, said, err = ended(process)
    assert (code, said["released"] > 0, said["refused"]) == (0, True, 0), err
    assert "inputs released to the enclave that was appraised" in err
    assert ended(node)[0] == 0

    ledger = service.ledger
    (cac,) = issued(service, workload)
    ledger.refused("cac", "show", cac, "--output", says="the tenant itself holds this key")
    ledger.refused("cac", "show", cac, "--output", "--key", "alice.json", says="holds no release and output key")
    ledger.refused("cac", "show", cac, "--output", "--key", "lake.json", says="does not open")
    shown = ledger.done("cac", "show", cac, "--output", "--key", "river.json", "--json").json
    assert shown["cac"]["released_by"] == "custody: tenant"
    assert shown["output"]

    bundle, out = tmp_path / "bundle", tmp_path / "cac.json"
    ledger.done("log", "publish")
    ledger.done("audit", "export", "--tenant", OWN, "--out", bundle, "--with-keys", "all")
    assert ledger.inside("audit", "replay", str(bundle), "--json").code == 0
    ledger.done("cac", "export", cac, "--out", out)
    key = (bundle / "log.vkey").read_text().splitlines()[0]
    verified = ledger.inside("cac", "verify", str(out), str(bundle), "--log-key", key, "--json")
    assert verified.code == 0, verified
    assert verified.json["released_by"] == "custody: tenant"


def test_a_releaser_sees_its_own_tenant_only(service: Service) -> None:
    service.node("node.json")
    hand_in(service)
    eventually(lambda: waiting(service))
    execution = waiting(service)[-1]
    assert waiting(service, "lake.json", LAKE) == []
    assert execution not in waiting(service, holding=[execution])
    foreign = client(service, "lake.json", LAKE)
    for name in (execution, "exec-0x" + "0" * 32, "nonsense"):
        with pytest.raises(AnsweredError, match=NOTHING) as caught:
            foreign.get(f"/v1/releases/{name}")
        assert caught.value.status == 404
    token = statement(service, "lake.json", execution)
    with pytest.raises(AnsweredError, match=NOTHING):
        foreign.post("/v1/releases", {"release": token, "inputs": []})
    with pytest.raises(AnsweredError, match="signed by the releaser whose token this is"):
        client(service).post("/v1/releases", {"release": token, "inputs": []})
    assert client(service).get(f"/v1/releases/{execution}")["execution"] == execution


def statement(service: Service, key: str, execution: str) -> str:
    """Return some statement of a releaser."""
    wallet, now_s = service.wallet(key), SystemClock().now_ms() // SECOND_MS
    content = {
        "act": "release_inputs", "execution": execution, "iss": wallet.did(Purpose.ENDORSEMENT),
        "aud": "ledger.example/t/1", "jti": SystemEntropy().bytes(16).hex(), "iat": now_s, "exp": now_s + 60,
    }  # fmt: skip
    return jws.sign(jws.ENDORSEMENT, wallet.key(Purpose.ENDORSEMENT), content)


@pytest.mark.parametrize("path", ["/v1/nodes", "/v1/assignments", "/v1/assignments/exec-0x" + "0" * 32])
def test_for_a_releaser_there_is_nothing_where_nodes_ask(service: Service, path: str) -> None:
    with pytest.raises(AnsweredError, match="there is nothing here") as caught:
        client(service).get(path)
    assert caught.value.status == 404


@pytest.mark.parametrize("path", ["/v1/assignments", "/v1/reports", "/v1/assignments/exec-0x0/module"])
def test_a_releaser_reports_nothing(service: Service, path: str) -> None:
    with pytest.raises(AnsweredError) as caught:
        client(service).post(path, {"report": "a.b.c"} if "reports" in path else {})
    assert caught.value.status in {404, 405}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/releases/waiting"), ("GET", "/v1/releases/exec-0x" + "0" * 32), ("POST", "/v1/releases")],
)
def test_for_a_node_there_is_nothing_where_releasers_ask(service: Service, method: str, path: str) -> None:
    token = service.token("node.json")
    answer = service.ask(method, path, b"{}" if method == "POST" else None, token)
    assert (answer.status, answer.json["detail"]) == (404, "there is nothing here")
    assert service.ask(method, path, b"{}").status == 401


@pytest.mark.parametrize(
    ("key", "tenant"),
    [("alice.json", "ClimateDAO/DEU"), ("river.json", LAKE), ("lake.json", OWN), ("river.json", "Nobody/DEU"),
     ("river.json", "nonsense"), ("river.json", "root")],
)  # fmt: skip
def test_who_is_no_releaser_of_the_tenant_gets_no_token(service: Service, key: str, tenant: str) -> None:
    with pytest.raises(NotAuthorisedError, match="not enrolled in the log that it names"):
        waiting(service, key, tenant)


@pytest.mark.parametrize("purpose", [Purpose.REPORT, Purpose.GOVERNANCE, Purpose.SUBMISSION])
def test_no_other_key_of_the_wallet_asks_as_its_releaser(service: Service, purpose: Purpose) -> None:
    wallet = service.wallet("river.json")
    asks = Asking(service.url, wallet, SystemClock(), SystemEntropy(), purpose=purpose, tenant=OWN)
    ASKING.append(asks)
    with pytest.raises((NotAuthorisedError, AnsweredError)) as caught:  # what is enrolled for else reads, at most
        asks.post("/v1/releases/waiting", {})
    assert purpose is not Purpose.REPORT or isinstance(caught.value, NotAuthorisedError)
    assert not isinstance(caught.value, AnsweredError) or caught.value.status == 404


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b'{"release": "x", "inputs": ["!"]}', b'{"release": "x", "inputs": [], "more": 1}',
     b'{"release": "x", "release": "y", "inputs": []}', b'{"release": "x", "inputs": []}', b"\xff",
     b'{"refusal": "x"}', b'{"refusal": "x", "inputs": []}', b'{"refusal": "x", "release": "x", "inputs": []}',
     b'{"release": "x"}', b'{"inputs": []}', b'{"refusal": null}'],
)  # fmt: skip
def test_a_malformed_release_is_400_and_changes_nothing(service: Service, body: bytes) -> None:
    token = service.unbound(client(service))
    before = count(service, RELEASED, ABANDONED)
    answer = service.ask("POST", "/v1/releases", body, token, Content_Type="application/json")
    assert answer.status == 400, answer.body
    assert count(service, RELEASED, ABANDONED) == before


def test_a_wait_is_answered_when_something_comes_to_wait(service: Service) -> None:
    held = waiting(service)
    node = service.node("node.json")
    began = time.monotonic()
    hand_in(service)
    found = client(service).post("/v1/releases/waiting", {"wait_ms": 20_000, "holding": held}, wait_s=20.0)
    assert found["executions"]
    assert time.monotonic() - began < 15
    assert ended(node)[0] == 0


@pytest.mark.slow
def test_a_node_that_ends_while_it_waits_loses_nothing(service: Service) -> None:
    clear(service)
    before = count(service, ISSUED, FAULTED, ABANDONED, REFUSED)
    node = service.node("node.json")
    hand_in(service)
    eventually(lambda: waiting(service))
    code, said, _ = ended(node)
    assert (code, said["undelivered"]) == (0, 0)
    eventually(lambda: not waiting(service))
    assert count(service, FAULTED, REFUSED) == [before[1], before[3]]
    again, process = service.node("node.json"), releaser(service)
    eventually(lambda: count(service, ISSUED)[0] > before[0])
    assert ended(process)[0] == 0
    assert ended(again)[0] == 0
    assert count(service, FAULTED, REFUSED) == [before[1], before[3]]


@pytest.mark.slow
def test_a_node_that_is_killed_while_it_waits_tells_so_when_it_is_back(service: Service) -> None:
    before = count(service, ISSUED, FAULTED, REFUSED)
    node = service.node("node.json")
    hand_in(service)
    eventually(lambda: waiting(service))
    node.kill()
    node.communicate()
    again, process = service.node("node.json"), releaser(service)
    eventually(lambda: count(service, ISSUED)[0] > before[0])
    assert count(service, REFUSED)[0] == before[2]
    assert ended(process)[0] == 0
    assert ended(again)[0] == 0


def test_a_releaser_waits_for_a_ledger_that_is_away_and_ends_when_it_is_told_to(service: Service) -> None:
    service.stop()
    process = releaser(service)
    assert process.stderr is not None
    try:
        while "waiting for the ledger" not in process.stderr.readline():
            assert process.poll() is None
        code, said, _ = ended(process)
        assert (code, said["released"]) == (0, 0)
    finally:
        service.start()


@pytest.mark.slow
def test_a_releaser_that_is_killed_and_started_again_releases_once(service: Service) -> None:
    clear(service)
    node = service.node("node.json")
    workload = hand_in(service)
    eventually(lambda: waiting(service))
    for _ in range(3):
        process = releaser(service)
        time.sleep(0.4)
        process.kill()
        process.communicate()
    last = releaser(service)
    eventually(lambda: issued(service, workload))
    assert len(issued(service, workload)) == 1
    with psycopg.connect(as_role(service.ledger.environ["LEDGER_DATABASE_URL"])) as connection:
        query = "SELECT count(*), count(DISTINCT stream_id) FROM ledger.stored_events WHERE topic = %s"
        released, executions = connection.execute(query, (RELEASED,)).fetchone() or (0, 1)
    assert released == executions
    assert ended(last)[0] == 0
    assert ended(node)[0] == 0


@pytest.mark.slow
def test_release_run_once_in_the_installation_itself(service: Service) -> None:
    clear(service)
    node = service.node("node.json")
    workload = hand_in(service)
    eventually(lambda: waiting(service))
    once = ("release", "run", "--tenant", OWN, "--key", "river.json", "--once", "--json", *root_issued(service.ledger))
    done = service.ledger.run(*once)
    assert done.json["released"] >= 1, done
    eventually(lambda: issued(service, workload))
    eventually(lambda: not waiting(service))
    assert done.json["not_checked"] == []
    assert service.ledger.run(*once).json["released"] == 0
    assert ended(node)[0] == 0


@pytest.mark.slow
def test_over_http_a_refusal_ends_the_attempt_and_three_hold_the_workload(service: Service) -> None:
    clear(service)
    node = service.node("node.json")
    before = count(service, DECLINED, FAULTED)
    hand_in(service)
    eventually(lambda: waiting(service))
    own = releaser(service, "--admin", "k" * 43)
    eventually(lambda: count(service, DECLINED, FAULTED) == [before[0] + 3, before[1] + 1])
    assert ended(own)[0] == 1
    assert waiting(service) == []
    assert ended(node)[0] == 0


@pytest.mark.slow
def test_what_a_releaser_does_not_believe_it_refuses_and_says_so(service: Service) -> None:
    clear(service)
    node = service.node("node.json")
    hand_in(service)
    eventually(lambda: waiting(service))
    demands = service.ledger.folder / "demands.json"
    demands.write_text(json.dumps({"evidence_classes": ["vendor"]}))
    once = ("release", "run", "--tenant", OWN, "--key", "river.json", "--once", "--json")
    refused = service.ledger.run(*once, "--any-node", "--demands", demands, code=1)
    assert "WARNING: --any-node: which machine gets the inputs" in refused.err
    assert (refused.json["node_issuers"], len(refused.json["not_checked"])) == (None, 1)
    assert "class of evidence is none that this releaser allows: software" in refused.err
    assert refused.json["refused"] == 1
    assert "the ledger has the refusal: this attempt is over" in refused.err
    eventually(lambda: waiting(service))  # the next attempt
    unknown = service.ledger.run(*once, *root_issued(service.ledger), "--admin", "k" * 43, code=1)
    assert "name the thumbprints of all with --admin" in unknown.err
    assert ended(node)[0] == 0


def test_a_wallet_without_a_release_key_is_told_what_to_do(service: Service) -> None:
    once = ("release", "run", "--tenant", OWN, "--key", "alice.json", "--once", "--any-node")
    ended = service.ledger.inside(*once)
    assert (ended.code, "--custody" in ended.err) == (1, True)


def test_whose_node_credentials_count_has_to_be_said(service: Service, tmp_path: Path) -> None:
    once = ("release", "run", "--tenant", OWN, "--key", "river.json", "--once", "--json")
    demands = tmp_path / "demands.json"
    demands.write_text(json.dumps({"node_issuers": ["did:web:issuer.example"]}))
    issuer = ("--node-issuer", "did:key:z6Mk")
    for more in ((), (*issuer, "--any-node"), ("--demands", demands, "--any-node")):
        ended = service.ledger.inside(*once, *more)
        assert (ended.code, "--any-node" in ended.json["error"]) == (64, True), ended
    for named in (("--demands", demands), issuer, (*issuer, "--demands", demands)):
        ended = service.ledger.inside(*once, *named)
        assert "--node-issuer" not in ended.err, ended
        assert ended.json["node_issuers"][-1] == ("did:key:z6Mk" if issuer[0] in named else "did:web:issuer.example")


def test_custody_is_registered_from_hex_and_files_and_private_keys_are_never_said(service: Service) -> None:
    ledger = service.ledger
    made = ledger.done("key", "new", "sea.json", "--name", "sea", "--custody", "--json").json
    private = json.loads((ledger.folder / "sea.json").read_text())["custody"]
    output = ledger.folder / "output.pub"
    output.write_text(made["custody"]["output_key"] + "\n")
    register = (
        "tenant", "register", "--jurisdiction", "deu", "--clause", "UNDRR::Disaster::Flood", "--class",
        "Disaster::Flood@v1", "--custody", "tenant",
    )  # fmt: skip
    done = ledger.done(
        *register, "--dao", "SeaDAO", "--key", "alice.json", "--release-key", made["custody"]["release_key"],
        "--output-key", output, "--json",
    ).json  # fmt: skip
    assert done["custody"] == "tenant"
    with_own_custody(ledger, "pond", "PondDAO")
    ledger.refused(
        *register, "--dao", "OtherDAO", "--key", "alice.json", "--release-key", made["custody"]["release_key"],
        "--output-key", output, says="",
    )  # fmt: skip
    ledger.refused(*register, "--dao", "OtherDAO", "--key", "alice.json", says="--custody")
    same = made["custody"]["release_key"]
    ledger.refused(
        *register, "--dao", "OtherDAO", "--key", "alice.json", "--release-key", same, "--output-key", same,
        says="each has one purpose",
    )  # fmt: skip
    ledger.refused(*register, "--dao", "OtherDAO", "--key", "alice.json", "--release-key", "00" * 1216, says="")
    said = "".join(ledger.said)
    for key in private.values():
        assert key["priv"] not in said
        assert base64.urlsafe_b64decode(key["priv"] + "=").hex() not in said
    rows = {row["dao"]: row["custody"] for row in ledger.done("tenant", "list", "--json").json["tenants"]}
    assert (rows["SeaDAO"], rows["ClimateDAO"]) == ("tenant", "operator")
