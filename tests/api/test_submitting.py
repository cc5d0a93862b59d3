"""Submissions over HTTP, by the command line and by hand: what is taken in, what is refused, what a repeat is told."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infrastructure.client.submission import Submission, read_submission_file
from infrastructure.keys.wallet import Purpose
from infrastructure.statements import jws
from tests.api.people import OTHER
from tests.api.service import Answered, Service
from tests.api.writing import FLOOD, body, built, remote, sam, written
from tests.cli.conftest import TENANT
from tests.database import TestServer


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with written(postgres, tmp_path_factory.mktemp("written")) as made:
        yield made


def test_the_command_hands_a_workload_in_at_a_server_and_keeps_its_acknowledgements(service: Service) -> None:
    before = service.rows("workload.submitted.v1")
    done = service.ledger.start(
        "submit", FLOOD, "--server", service.url, "--key", "alice.json", "--tenant", TENANT, "--ack", "acks", "--json"
    )
    said = service.ledger.end(done).json
    assert said["denied"] is None
    assert [one["topic"] for one in said["places"]] == [
        "workload.submitted.v1", "workload.credential_checked.v1", "workload.clause_verified.v1", "workload.queued.v1",
    ]  # fmt: skip
    assert len(list((service.ledger.folder / "acks").glob("*.ack"))) == len(said["places"])
    assert service.rows("workload.submitted.v1") == before + 1
    why = service.ledger.end(
        service.ledger.start(
            "why", said["workload"], "--server", service.url, "--key", "alice.json", "--tenant", TENANT
        )
    )
    assert said["workload"] in why.out
    row = service.ledger.inside("why", said["workload"], "--json").json
    assert row["workload"] == said["workload"]


def test_a_known_statement_gets_its_first_answer_and_another_body_is_refused(service: Service) -> None:
    made, given = built(service), sam(service)
    first = service.post("/v1/workloads", body(made), given)
    assert (first.status, first.json["workload"]) == (201, made.workload)
    rows = service.rows("workload.submitted.v1")
    again = service.post("/v1/workloads", body(made), given)
    assert again.status == 201
    for name in ("jti", "workload", "places", "denied"):
        assert again.json[name] == first.json[name]
    objects = [one["object"] for one in again.json["acknowledgements"]]
    assert objects == [one["object"] for one in first.json["acknowledgements"]]
    other = jws.peek(built(service).token)[1] | {"jti": first.json["jti"]}
    changed = jws.sign(jws.SUBMISSION, service.wallet("alice.json").key(Purpose.SUBMISSION), other)
    refused = service.post("/v1/workloads", body(made) | {"submission": changed}, given)
    assert (refused.status, refused.json["title"]) == (409, "Conflict")
    assert service.rows("workload.submitted.v1") == rows


def test_the_idempotency_key_is_the_statements_id(service: Service) -> None:
    made, given = built(service), sam(service)
    before = service.rows("workload.submitted.v1")
    for wrong in ("0" * 32, "", jws.peek(made.token)[1]["jti"].upper()):
        answer = post(service, body(made), given, wrong)
        assert answer.status == 400
        assert "Idempotency-Key" in answer.json["detail"]
    assert service.rows("workload.submitted.v1") == before
    assert post(service, body(made), given, jws.peek(made.token)[1]["jti"]).status == 201


def post(service: Service, members: Any, token: str, key: str) -> Answered:
    """Post a workload with an Idempotency-Key."""
    return service.ask(
        "POST", "/v1/workloads", json.dumps(members).encode(), token, Content_Type="application/json",
        Idempotency_Key=key,
    )  # fmt: skip


def resigned(service: Service, made: Submission, wallet: str = "alice.json", **changes: Any) -> Submission:
    """Return a submission that says something else, signed again. A change to None takes the member out."""
    said = {**jws.peek(made.token)[1], **changes}
    content = {name: value for name, value in said.items() if value is not None}
    token = jws.sign(jws.SUBMISSION, service.wallet(wallet).key(Purpose.SUBMISSION), content)
    return Submission(made.workload, token, made.ciphertexts)


def test_what_is_wrong_with_a_statement_is_said_by_its_members_and_nothing_is_stored(service: Service) -> None:
    made, given = built(service), sam(service)
    before = service.rows("workload.submitted.v1")
    bounds = jws.peek(made.token)[1]["bounds"] | {"fuel": 0, "memory_bytes": "much"}
    answer = service.post("/v1/workloads", body(resigned(service, made, bounds=bounds, clause_id=7)), given)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    pointers = {one["pointer"] for one in answer.json["errors"]}
    assert pointers == {"#/submission/bounds/fuel", "#/submission/bounds/memory_bytes", "#/submission/clause_id"}
    shape = service.post("/v1/workloads", {"submission": 7, "inputs": ["%"], "more": 1}, given)
    assert shape.status == 400
    assert {one["pointer"] for one in shape.json["errors"]} >= {"#/submission", "#/inputs/0", "#/more"}
    assert service.rows("workload.submitted.v1") == before


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"aud": "ledger.example/t/999"}, 403, "another audience"),
        ({"iss": "did:key:z6MkOther"}, 403, "did:key"),
        ({"iat": 1_000, "exp": 2_000}, 403, "expired"),
        ({"iat": 2**40, "exp": 2**40 + 60}, 403, "future"),
        ({"workload": "exec-0x" + "0" * 32}, 400, "wl-0x"),
        ({"workload": "wl-0x" + "0" * 32}, 400, "UUIDv7"),
        ({"jti": "A" * 32}, 400, "jti"),
        ({"extra": 1}, 400, "extra"),
    ],
)
def test_a_submission_that_does_not_hold_is_refused_and_nothing_is_stored(
    service: Service, changes: dict[str, Any], status: int, says: str
) -> None:
    made, given = built(service), sam(service)
    before = service.rows("workload.submitted.v1")
    try:
        signed = resigned(service, made, **changes)
    except Exception:  # noqa: BLE001 - our own signer does not sign this: sent as it would be by another
        signed = unsigned(made, **changes)
    answer = service.post("/v1/workloads", body(signed), given)
    assert answer.status == status, answer.body
    assert says in answer.json["detail"]
    assert service.rows("workload.submitted.v1") == before


def unsigned(made: Submission, **changes: Any) -> Submission:
    """Return a submission whose payload was changed after it was signed."""
    head, content, signature = made.token.split(".")
    said = json.loads(base64.urlsafe_b64decode(content + "=="))
    text = json.dumps({**said, **changes}, sort_keys=True, separators=(",", ":")).encode()
    other = base64.urlsafe_b64encode(text).rstrip(b"=").decode()
    return Submission(made.workload, f"{head}.{other}.{signature}", made.ciphertexts)


def test_a_broken_signature_another_key_or_other_inputs_are_refused(service: Service) -> None:
    made, given = built(service), sam(service)
    before = service.rows("workload.submitted.v1")
    broken = service.post("/v1/workloads", body(made) | {"submission": made.token[:-6] + "AAAAAA"}, given)
    assert broken.status in {400, 403}
    stranger = resigned(service, made, "rita.json", iss=service.wallet("rita.json").did(Purpose.SUBMISSION))
    assert service.post("/v1/workloads", body(stranger), given).status == 403
    fewer = body(made) | {"inputs": body(made)["inputs"][:1]}
    assert service.post("/v1/workloads", fewer, given).status == 400
    swapped = body(made) | {"inputs": body(made)["inputs"][::-1]}
    assert service.post("/v1/workloads", swapped, given).status == 400
    assert service.rows("workload.submitted.v1") == before


def test_who_may_not_submit_finds_nothing_and_another_tenants_statement_is_refused(service: Service) -> None:
    made = built(service)
    before = service.rows("workload.submitted.v1")
    for who, log in (("rita.json", TENANT), ("otto.json", "platform"), ("resi.json", "root"), ("flora.json", OTHER)):
        answer = service.post("/v1/workloads", body(made), service.token_of(who, log))
        assert (answer.status, answer.json["detail"]) == (404, "there is nothing here")
    assert service.post("/v1/workloads", body(made), service.token("node.json")).status == 404
    bob = service.token_of("bob.json", OTHER, Purpose.SUBMISSION)
    foreign = service.post("/v1/workloads", body(made), bob)
    assert foreign.status == 403
    assert "audience" in foreign.json["detail"]
    assert service.post("/v1/workloads", body(made)).status == 401
    assert service.rows("workload.submitted.v1") == before


def test_a_waiting_workload_is_taken_back_once_and_by_its_own_tenant_only(service: Service) -> None:
    with remote(service) as asked:  # more than the nodes have slots: the last one waits
        workload = [asked.submit(*read_submission_file(FLOOD)).members["workload"] for _ in range(8)][-1]
    with remote(service, "bob.json", OTHER) as other, pytest.raises(Exception, match="no such workload"):
        other.cancel(workload)
    assert service.rows("workload.cancelled.v1") == 0
    done = service.ledger.start("cancel", workload, "--server", service.url, "--key", "alice.json", "--tenant", TENANT)
    assert "cancelled" in service.ledger.end(done).out
    assert service.rows("workload.cancelled.v1") == 1
    with remote(service) as asked, pytest.raises(Exception, match="does not wait"):
        asked.cancel(workload)


def test_a_denied_submission_says_so_and_is_acknowledged(service: Service, tmp_path: Path) -> None:
    file = json.loads(FLOOD.read_text())
    file["clause_id"] = "UNDRR::Disaster::Flood@9.0.0"
    file["inputs"] = [{"text": "1"}, {"text": "2"}]
    path = tmp_path / "other.json"
    path.write_text(json.dumps(file))
    with remote(service) as asked:
        written = asked.submit(*read_submission_file(path))
    assert written.members["denied"]["reason"] == "the clause is not registered"
    assert written.members["places"][-1]["topic"] == "workload.denied.v1"
    assert len(written.acknowledgements) == len(written.members["places"])
