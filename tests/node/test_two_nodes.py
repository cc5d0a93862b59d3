"""Two nodes on one ledger: they share the work and see nothing of each other; a third enrols by its credential."""

import json
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from domain.attestation.appraise import platform_id
from infrastructure.clock import SystemClock
from infrastructure.credentials.node import NodeSubject, issue_node
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.node.claims import SoftwareEvidence, prepare_request
from infrastructure.node.wire import SentAssignment, read_sent
from infrastructure.runtime.keep import Keep
from infrastructure.statements import jws
from tests.api.service import Service, ended, eventually, served
from tests.database import TestServer, postgres

__all__ = ["postgres"]

KEYS = {"berlin-1": "node.json", "berlin-2": "two.json"}


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(postgres, tmp_path_factory.mktemp("served"), second=True) as made:
        yield made


def leased(service: Service) -> tuple[str, dict[str, Any]]:
    """Submit one workload; return the node that got it, and its assignment."""
    service.submit(1)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for node, key in KEYS.items():
            found = service.post("/v1/assignments", {"wait_ms": 300}, service.token(key)).json["assignments"]
            if found:
                return node, found[0]
    raise AssertionError("nobody got it")


def signed(wallet: Wallet, origin: str, claims: dict[str, Any], **changes: Any) -> str:
    """Sign a report."""
    now = int(time.time())
    jti = SystemEntropy().bytes(16).hex()
    content = {"iss": wallet.did(Purpose.REPORT), "aud": origin, "jti": jti, "iat": now, "exp": now + 3600, **claims}
    return jws.sign(jws.REPORT, wallet.key(Purpose.REPORT), {**content, **changes})


def test_they_share_the_work(service: Service) -> None:
    nodes = [service.node(key) for key in KEYS.values()]
    before = service.rows("cac.issued.v1")
    service.submit(8)
    eventually(lambda: service.rows("cac.issued.v1") == before + 8)
    done = [ended(node) for node in nodes]
    assert [code for code, _, _ in done] == [0, 0]
    assert sum(said["executed"] for _, said, _ in done) == 8
    assert all(said["executed"] for _, said, _ in done)


def test_what_is_one_nodes_is_not_there_for_the_other(service: Service) -> None:
    node, assignment = leased(service)
    own, other = service.token(KEYS[node]), service.token(KEYS["berlin-1" if node == "berlin-2" else "berlin-2"])
    name = assignment["execution"]
    nothing = "exec-0x" + "0" * 32
    for path in ("", "/module"):
        there = service.ask("GET", f"/v1/assignments/{name}{path}", token=own)
        hidden = service.ask("GET", f"/v1/assignments/{name}{path}", token=other)
        none = service.ask("GET", f"/v1/assignments/{nothing}{path}", token=other)
        assert there.status == 200
        assert (hidden.status, hidden.body) == (none.status, none.body)
        assert hidden.status == 404
    assert service.ask("GET", "/v1/assignments", token=other).json == {"executions": []}
    assert [one["execution"] for one in service.ask("GET", "/v1/assignments", token=own).json["executions"]] == [name]
    assert service.post("/v1/assignments", {}, other).json == {"assignments": []}
    assert service.post("/v1/assignments", {}, own).json["assignments"] == [assignment], "a repeat gives the same"
    assert service.post("/v1/assignments", {"holding": [name]}, own).json == {"assignments": []}
    _ended(service, node, assignment)


def _ended(service: Service, node: str, assignment: dict[str, Any]) -> None:
    """Let the node do what it was given."""
    running = service.node(KEYS[node])
    name = assignment["execution"]
    token = service.token(KEYS[node])
    eventually(lambda: service.ask("GET", f"/v1/assignments/{name}", token=token).json["over"])
    ended(running)


def test_a_report_that_comes_twice_counts_once_and_another_body_is_a_conflict(service: Service) -> None:
    node, assignment = leased(service)
    token, wallet = service.token(KEYS[node]), service.wallet(KEYS[node])
    module = service.ask("GET", f"/v1/assignments/{assignment['execution']}/module", token=token).body
    assert sha256(module).hexdigest() == assignment["module_digest"]
    made = read_sent(SentAssignment, assignment).with_module(module)
    with Keep(made.origin) as keep:
        claims = dict(SoftwareEvidence().make(made, keep.prepare(prepare_request(made))).claims)
    chain = {"execution": made.execution_id, "seq": 0, "prev": "0" * 64}
    report = signed(wallet, made.origin, {**claims, **chain})
    first = service.post("/v1/reports", {"report": report}, token)
    assert first.json["accepted"]
    assert len(first.json["release"]["inputs"]) == 2
    assert {"ack", "index", "object", "path"} == first.json["acknowledgements"][0].keys()
    size = service.rows("execution.evidence_appraised.v1")
    again = service.post("/v1/reports", {"reports": [{"report": report}, {"report": report}]}, token).json["answers"]
    assert [one["accepted"] for one in again] == [True, True]
    assert again[0]["release"] == first.json["release"]
    assert service.rows("execution.evidence_appraised.v1") == size
    jti = jws.peek(report)[1]["jti"]
    other = signed(wallet, made.origin, {"kind": "started", **chain, "seq": 1}, jti=jti)
    assert service.post("/v1/reports", {"report": other}, token).status == 409
    out_of_order = signed(wallet, made.origin, {"kind": "started", **chain, "seq": 5})
    refused = service.post("/v1/reports", {"report": out_of_order}, token).json
    assert (refused["accepted"], "out of order" in refused["reason"]) == (False, True)
    _ended(service, node, assignment)  # it was released to an enclave that is gone: the node finds it, and ends it
    assert service.rows("execution.faulted.v1") >= 1


def test_a_batch_that_names_what_is_not_the_nodes_is_refused_whole_and_leaves_nothing(service: Service) -> None:
    node, assignment = leased(service)
    token, wallet, name = service.token(KEYS[node]), service.wallet(KEYS[node]), assignment["execution"]
    nothing, own = (
        json.dumps({"execution": one, "kind": "started", "prev": "0" * 64, "seq": 0}, separators=(",", ":"))
        for one in ("exec-0x" + "0" * 32, name)
    )
    named = [sha256(one.encode()).hexdigest() for one in (nothing, own)]
    batch = signed(wallet, assignment["origin"], {"kind": "batch", "reports": named})
    sent = {"reports": [{"report": nothing}, {"report": own}], "batches": [batch]}
    before = service.rows("reports.received.v1")
    answers = service.post("/v1/reports", sent, token).json["answers"]
    assert [(one["status"], one["detail"]) for one in answers] == [(404, "there is no such execution of this node")] * 2
    assert service.rows("reports.received.v1") == before
    alone = signed(wallet, assignment["origin"], {"kind": "batch", "reports": named[1:]})
    (answer,) = service.post("/v1/reports", {"reports": [{"report": own}], "batches": [alone]}, token).json["answers"]
    assert (answer["status"], answer["accepted"]) == (200, False)
    assert "no place while the execution is challenged" in answer["reason"]
    assert service.rows("reports.received.v1") == before + 1
    _ended(service, node, assignment)


def test_a_node_enrols_over_http_by_its_credential(service: Service) -> None:
    folder = service.ledger.folder
    wallet = wallets.create(folder / "berlin-3.json", "berlin-3", SystemEntropy())
    root, now_ms = wallets.load(service.ledger.data / "root.key.json"), SystemClock().now_ms()
    subject = NodeSubject(
        id=wallet.did(Purpose.REPORT), operator="Dritter", country_of_operation="DEU", vendor="none",
        platform_ids=(platform_id(wallet.thumbprint(Purpose.REPORT)),),
    )  # fmt: skip
    credential = issue_node(
        subject, root.key(Purpose.CREDENTIAL), valid_from_ms=now_ms, valid_until_ms=now_ms + 10_000_000,
        created_ms=now_ms,
    )  # fmt: skip
    (folder / "credential.json").write_text(json.dumps(credential))
    forged = issue_node(
        subject, wallet.key(Purpose.CREDENTIAL), valid_from_ms=now_ms, valid_until_ms=now_ms + 10_000_000,
        created_ms=now_ms,
    )  # fmt: skip
    (folder / "forged.json").write_text(json.dumps(forged))
    refused = service.node("berlin-3.json", "--credential", "forged.json")
    assert refused.wait(30) == 1
    node = service.node("berlin-3.json", "--credential", "credential.json", "--slots", "3")
    eventually(lambda: service.rows("node.enrolled.v1") == 3)
    time.sleep(1)
    code, said, err = ended(node)
    assert (code, said["node"]) == (0, "berlin-3"), err
    shown = service.ask("GET", "/v1/nodes/berlin-3", token=service.token("berlin-3.json")).json
    assert shown["facts"]["slots"] == 3
    drained = service.ledger.done("node", "drain", "berlin-3", "--reason", "test")
    assert drained.code == 0
    eventually(
        lambda: (
            service.ask("GET", "/v1/nodes", token=service.token("berlin-3.json")).json["nodes"][0]["standing"]
            == "drained"
        )
    )
