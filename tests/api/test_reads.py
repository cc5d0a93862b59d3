"""What principals read of their own log, over a real server."""

import base64
import gzip
import http.client
import io
import json
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from domain.transparency.note import parse_note
from domain.transparency.proofs import verify_consistency, verify_inclusion
from domain.transparency.tiles import required_tiles, split_hashes
from domain.transparency.tlog_proof import TlogProof
from tests.api.people import get, service, token
from tests.api.service import Service, eventually
from tests.cli.conftest import TENANT

__all__ = ["service"]


@pytest.fixture(scope="module")
def submitted(service: Service) -> list[str]:
    return service.submit(5)


def test_a_tenants_people_read_its_workloads_page_by_page(service: Service, submitted: list[str]) -> None:
    given = token(service, "rita")
    found: list[str] = []
    cursor = ""
    for _ in range(10):
        answer = service.ask("GET", f"/v1/workloads?limit=2{cursor}", token=given)
        assert answer.status == 200, answer.body
        found += [row["workload"] for row in answer.json["workloads"]]
        if answer.json["next"] is None:
            break
        cursor = f"&cursor={answer.json['next']}"
    assert found == sorted(set(found))
    assert set(submitted) <= set(found)


def test_another_tenants_workload_is_as_one_that_does_not_exist(service: Service, submitted: list[str]) -> None:
    given = token(service, "flora")
    for kind in ("workloads", "why"):
        other = service.ask("GET", f"/v1/{kind}/{submitted[0]}", token=given)
        none = service.ask("GET", f"/v1/{kind}/wl-0x{'0' * 32}", token=given)
        assert (other.status, other.body) == (none.status, none.body) == (404, none.body)
        own = {"date": "", "x-request-id": ""}
        assert {**other.headers, **own} == {**none.headers, **own}


def test_why_says_what_the_command_says(service: Service, submitted: list[str]) -> None:
    answer = get(service, f"/v1/why/{submitted[0]}", "rita")
    assert answer.status == 200, answer.body
    assert answer.json["workload"] == submitted[0]
    assert answer.json["decision"]["log"].startswith("ledger.example/t/")


@pytest.mark.parametrize("path", ["/v1/policies", "/v1/clauses", "/v1/tenants", "/v1/scopes", "/v1/nodes", "/v1/cacs"])
def test_collections_are_there_for_a_tenants_admin(service: Service, path: str) -> None:
    answer = get(service, path, "alice")
    assert answer.status == 200, answer.body
    assert path.rpartition("/")[2] in answer.json


def test_a_revoked_key_loses_its_token_at_once(service: Service) -> None:
    service.ledger.done("key", "new", "gone.json", "--name", "gone")
    enrolled = service.ledger.done(
        "principal", "enrol", "gone.json", "--of", TENANT, "--role", "auditor", "--key", "alice.json", "--json"
    ).json
    given = service.token_of("gone.json", TENANT)
    assert service.ask("GET", "/v1/tenants", token=given).status == 200
    service.ledger.done(
        "principal", "revoke", enrolled["kid"], "--of", TENANT, "--reason", "left", "--key", "alice.json"
    )
    assert service.ask("GET", "/v1/tenants", token=given).status == 401


def test_checkpoint_tiles_and_proofs_verify_against_each_other(service: Service, submitted: list[str]) -> None:
    given = token(service, "rita")
    eventually(lambda: service.ask("GET", "/v1/audit/checkpoint", token=given).status == 200)
    note = parse_note(service.ask("GET", "/v1/audit/checkpoint", token=given).body)
    checkpoint = Checkpoint.parse(note.text)
    hashes: list[bytes] = []
    for tile in required_tiles(checkpoint.size, 0):
        answer = service.ask("GET", f"/v1/audit/{tile.path}", token=given)
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        hashes += split_hashes(answer.body)
    assert Frontier.empty().extend(hashes).root() == checkpoint.root
    for index in (0, checkpoint.size // 2, checkpoint.size - 1):
        entry = service.ask("GET", f"/v1/audit/entries/{index}", token=given)
        assert entry.headers["content-type"] == "application/ledger-entry+cose"
        assert leaf_hash(entry.body) == hashes[index]
        proof = TlogProof.parse(service.ask("GET", f"/v1/audit/proofs/{index}", token=given).body)
        assert proof.verify(hashes[index]).origin == checkpoint.origin
        older = service.ask("GET", f"/v1/audit/proofs/{index}?size={checkpoint.size}", token=given).json
        path = [base64.b64decode(one) for one in older["path"]]
        verify_inclusion(hashes[index], index, checkpoint.size, path, base64.b64decode(older["root"]))
        assert base64.b64decode(older["root"]) == checkpoint.root
    grown = service.ask("GET", f"/v1/audit/consistency?old=1&size={checkpoint.size}", token=given).json
    path = [base64.b64decode(one) for one in grown["path"]]
    verify_consistency(1, checkpoint.size, path, *(base64.b64decode(grown[one]) for one in ("old_root", "root")))


@pytest.mark.parametrize(
    "path",
    ["tile/0/../0/000", "tile/..%2f..%2f..%2fkeys", "tile/0/999", "tile/entries/x001/000", "tile/0/000.p/256",
     "tile/0/000.p/0", "tile/64/000", "tile/", "tile/0/x000/000", "tile/%00", "entries/9007199254740991",
     "tile/entries/000.p/255"],
)  # fmt: skip
def test_what_is_no_tile_or_entry_of_the_log_is_not_there(service: Service, path: str) -> None:
    answer = get(service, f"/v1/audit/{path}", "rita")
    assert (answer.status, answer.json["detail"]) == (404, "there is nothing here")


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("workloads?limit=0", "query/limit"), ("workloads?limit=501", "query/limit"),
        ("workloads?limit=+5", "query/limit"),
        ("workloads?limit=1&limit=1", "query/limit"), ("workloads?other=1", "query/other"),
        ("workloads?state=A%27", "query/state"), ("tenants?x=1", "query/x"), ("scopes?x=1", "query/x"),
        ("audit/entries/-1", "path/index"), ("audit/entries/1e3", "path/index"), ("audit/entries/00", "path/index"),
        ("audit/entries/99999999999999999999", "path/index"), ("audit/history?first=0x1", "query/first"),
        ("audit/consistency?old=1", "query/size"), ("audit/bundle?keys=mine", "query/keys"),
    ],
)  # fmt: skip
def test_what_is_not_of_its_form_is_refused_by_name(service: Service, path: str, pointer: str) -> None:
    answer = get(service, f"/v1/{path}", "rita")
    assert answer.status == 400, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("cursor", ["AAAA", "d2wgeA", "_", "d2w", "bGVhZiAw"])
def test_a_cursor_that_was_not_given_is_refused(service: Service, cursor: str) -> None:
    for path in ("workloads", "cacs", "clauses", "policies", "notices"):
        answer = get(service, f"/v1/{path}?cursor={cursor}", "rita")
        assert answer.status == 400, answer.body


def test_the_history_is_read_page_by_page_and_says_what_the_entries_hold(service: Service) -> None:
    given = token(service, "rita")
    cursor, found = "", []
    while True:
        answer = service.ask("GET", f"/v1/audit/history?limit=7{cursor}", token=given).json
        if not answer["entries"]:
            break
        found += answer["entries"]
        cursor = f"&cursor={answer['next']}"
    assert [one["leaf_index"] for one in found] == list(range(len(found)))
    assert found[0]["topic"] == "tenant.registered.v1"


def test_answers_are_tagged_compressed_and_nobody_elses_to_keep(service: Service) -> None:
    given = token(service, "rita")
    first = service.ask("GET", "/v1/audit/history", token=given, Accept_Encoding="gzip")
    assert first.headers["content-encoding"] == "gzip"
    plain = service.ask("GET", "/v1/audit/history", token=given)
    assert json.loads(gzip.decompress(first.body)) == plain.json
    assert plain.headers["cache-control"] == "private, no-cache"
    again = service.ask("GET", "/v1/audit/history", token=given, If_None_Match=plain.headers["etag"])
    assert (again.status, again.body) == (304, b"")


def test_a_bundle_is_streamed_recorded_first_and_verifies(service: Service, tmp_path: Path) -> None:
    given = token(service, "rita")
    answer = service.ask("GET", "/v1/audit/bundle?keys=all", token=given)
    assert answer.status == 200, answer.body
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        archive.extractall(tmp_path / "bundle", filter="data")
    verdict = service.ledger.done("audit", "verify", tmp_path / "bundle", "--json").json
    assert verdict["ok"]
    history = service.ask("GET", "/v1/audit/history?limit=256", token=given).json["entries"]
    topics = [one["topic"] for one in history]
    assert topics.index("access.summarised.v1") < topics.index("tenant.key_disclosed.v1")
    (own,) = [one["event"] for one in history if one["topic"] == "access.summarised.v1"
              and one["event"]["route_class"] == "bundle"]  # fmt: skip
    assert (own["requests"], own["role"]) == (1, "auditor")
    assert get(service, "/v1/audit/bundle?keys=all", "otto").status == 403
    exports = service.ledger.data / "exports"
    eventually(lambda: {path.name for path in exports.glob("*/*")} == {"lock"})


def events(body: bytes) -> list[dict[str, Any]]:
    """Return what a feed sent."""
    return [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]


def listen(service: Service, given: str, count: int, **headers: str) -> list[dict[str, Any]]:
    """Read so many events of the feed, then hang up."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", "/v1/feed", headers={"Authorization": f"Bearer {given}", **sent})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    assert response.headers["content-type"].startswith("text/event-stream")
    found: list[dict[str, Any]] = []
    while len(found) < count:
        line = response.readline()
        assert line
        if line.startswith(b"data: "):
            found.append(json.loads(line[6:]))
    connection.close()
    return found


def test_the_feed_goes_on_where_it_was_and_live(service: Service) -> None:
    given = token(service, "rita")
    first = listen(service, given, 5)
    assert [one["leaf_index"] for one in first] == [0, 1, 2, 3, 4]
    rest = listen(service, given, 3, Last_Event_ID="4")
    assert [one["leaf_index"] for one in rest] == [5, 6, 7]
    size = service.ask("GET", "/v1/audit", token=given).json["size"]
    with ThreadPoolExecutor() as pool:
        live = pool.submit(listen, service, given, 1, Last_Event_ID=str(size - 1))
        service.submit(1)
        assert live.result(20)[0]["leaf_index"] == size
    for bad in ("x", "-1", "999999999", "1" * 30):
        assert service.ask("GET", "/v1/feed", token=given, Last_Event_ID=bad).status == 400


def test_a_feed_ends_when_its_key_is_revoked(service: Service) -> None:
    service.ledger.done("key", "new", "left.json", "--name", "left")
    kid = service.ledger.done(
        "principal", "enrol", "left.json", "--of", TENANT, "--role", "auditor", "--key", "alice.json", "--json"
    ).json["kid"]
    given = service.token_of("left.json", TENANT)
    size = service.ask("GET", "/v1/audit", token=given).json["size"]
    with ThreadPoolExecutor() as pool:
        heard = pool.submit(lambda: service.ask("GET", "/v1/feed", token=given, Last_Event_ID=str(size - 1)).body)
        time.sleep(0.5)
        service.ledger.done("principal", "revoke", kid, "--of", TENANT, "--reason", "left", "--key", "alice.json")
        assert not any(one["topic"] == "tenant.principal_revoked.v1" for one in events(heard.result(20)))
