"""Who read is in the log that was read: summed up by the minute, and what an auditor holds of it."""

import re
import signal
from typing import Any

import pytest

from tests.api.people import get, service, token
from tests.api.service import Service, eventually
from tests.cli.conftest import TENANT

__all__ = ["service"]


def accesses(service: Service, who: str) -> list[dict[str, Any]]:
    """Return what a log says of its readers."""
    entries = get(service, "/v1/audit/history?limit=256", who).json["entries"]
    return [one["event"] for one in entries if one["topic"] == "access.summarised.v1"]


def test_reads_are_summed_up_by_principal_kind_and_minute_and_the_log_verifies(service: Service, tmp_path: Any) -> None:
    given = token(service, "sam")
    for path in ("/v1/workloads", "/v1/workloads", "/v1/cacs", f"/v1/workloads/wl-0x{'0' * 32}", "/v1/workloads?x=1"):
        service.ask("GET", path, token=given)
    get(service, "/v1/nodes", "otto")
    before = [one for one in accesses(service, "flora") if one["role"] == "submitter"]
    assert service.stop(signal.SIGTERM) == 0
    service.start()
    told = [one for one in accesses(service, "rita") if one["role"] == "submitter"]
    by_class = {name: [one for one in told if one["route_class"] == name] for name in ("workloads", "cacs")}
    assert sum(one["requests"] for one in by_class["workloads"]) == 4
    assert sum(one["refused"] for one in by_class["workloads"]) == 2
    assert sum(one["requests"] for one in by_class["cacs"]) == 1
    assert all(one["minute_ms"] % 60_000 == 0 for one in told)
    assert [one for one in accesses(service, "flora") if one["role"] == "submitter"] == before
    assert [one["role"] for one in accesses(service, "otto")] == ["operator"]
    service.ledger.done("audit", "export", "--tenant", TENANT, "--out", tmp_path / "b", "--with-keys", "all")
    verdict = service.ledger.done("audit", "verify", tmp_path / "b", "--json").json
    assert verdict["ok"], verdict
    service.ledger.done("audit", "export", "--tenant", "platform", "--out", tmp_path / "p", "--with-keys", "all")
    verdict = service.ledger.done("audit", "verify", tmp_path / "p", "--json").json
    assert verdict["ok"], verdict
    assert any("accesses" in one for one in verdict["not_checked"])


def test_reading_what_tells_of_reading_is_not_recorded(service: Service) -> None:
    given = token(service, "bob")
    assert service.ask("GET", "/v1/audit/bundle", token=given).status == 200
    entries = service.ask("GET", "/v1/audit/history?limit=256", token=given).json["entries"]
    place = next(one["leaf_index"] for one in entries if one["topic"] == "access.summarised.v1")
    assert service.stop() == 0
    service.start()
    given = token(service, "ben")
    before = service.ask("GET", "/v1/tenants", token=given).status
    assert before == 200
    given = token(service, "bob")
    for _ in range(3):
        answer = service.ask("GET", f"/v1/audit/history?first={place}&limit=1", token=given)
        assert answer.json["entries"][0]["topic"] == "access.summarised.v1"
    size = service.ask("GET", f"/v1/audit/history?first={place}&limit=1", token=given).json["size"]
    assert service.stop() == 0
    service.start()
    after = get(service, f"/v1/audit/history?first={size}", "flora").json["entries"]
    assert [one["event"]["role"] for one in after] == ["submitter"]


def test_numbers_are_public_and_of_closed_sets(service: Service) -> None:
    service.ask("GET", "/v1/nothing%22evil", token=token(service, "rita"))
    eventually(lambda: b"ledger_http_responses_total{" in service.ask("GET", "/metrics").body)
    answer = service.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    for name in (
        "ledger_publisher_lag_entries", "ledger_publisher_lag_seconds", "ledger_projector_lag_events",
        "ledger_decider_lag_commits", "ledger_queue_workloads", "ledger_commit_events_bucket",
        "ledger_http_responses_total", "process_resident_memory_bytes",
    ):  # fmt: skip
        assert re.search(rf"^{name}(\{{[^}}]*\}})? [0-9.e+]+$", text, re.MULTILINE), name
    assert "evil" not in text
    assert "ClimateDAO" not in text


def test_the_document_of_the_api_is_whole(service: Service) -> None:
    answer = service.ask("GET", "/openapi.json")
    document = answer.json
    assert document["openapi"].startswith("3.1")
    assert {"bearer", "dpop"} == document["components"]["securitySchemes"].keys()
    schemas = document["components"]["schemas"]
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', answer.body.decode()):
        assert reference in schemas
    assert not {"HTTPValidationError", "ValidationError"} & schemas.keys()
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "default" not in operation["responses"], "each status is told by itself"
            assert bool(operation["security"]) == ("x-roles" in operation)
    again = service.ask("GET", "/openapi.json", If_None_Match=answer.headers["etag"])
    assert again.status == 304


@pytest.mark.parametrize(
    "path",
    ["/v1/workloads", "/v1/cacs", "/v1/policies", "/v1/clauses", "/v1/tenants", "/v1/scopes", "/v1/nodes", "/v1/usage",
     "/v1/disputes", "/v1/involved?from=0",
     "/v1/notices", "/v1/audit", "/v1/audit/history", "/v1/audit/proofs/0?size=1",
     "/v1/audit/consistency?old=0&size=1"],
)  # fmt: skip
def test_answers_have_the_members_that_the_document_says(service: Service, path: str) -> None:
    eventually(lambda: get(service, "/v1/audit/checkpoint", "rita").status == 200)
    document = service.ask("GET", "/openapi.json").json
    plain = re.sub(r"/0\?.*", "/{index}", path).partition("?")[0]
    schema = document["paths"][plain]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    answer = get(service, path, "alice")
    assert answer.status == 200, answer.body
    check(answer.json, schema, document)


TYPES: dict[str, type] = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None),
}  # fmt: skip


def check(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> None:
    """Hold a value against the part of JSON Schema that the document uses."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        kinds = [one for one in schema["anyOf"] if "type" not in one or isinstance(value, TYPES[one["type"]])]
        assert kinds, (value, schema)
        check(value, kinds[0], document)
        return
    if "type" in schema:
        assert isinstance(value, TYPES[schema["type"]]), (value, schema)
    for name in schema.get("required", ()):
        assert name in value, name
    for name, inner in schema.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            check(value[name], inner, document)
    for one in value if isinstance(value, list) else ():
        check(one, schema.get("items", {}), document)
