"""The C2SP layout is served byte for byte: a client of tiles rebuilds both logs with nothing but a header."""

from collections.abc import Iterator
from hashlib import sha256

import pytest

from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from domain.transparency.note import parse_note
from domain.transparency.tiles import ENTRIES, TILE_WIDTH, Tile, decode_entries
from tests.api.people import PEOPLE, token
from tests.api.service import Service
from tests.api.writing import written
from tests.cli.conftest import TENANT
from tests.database import TestServer


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with written(postgres, tmp_path_factory.mktemp("tiles")) as made:
        made.stop()
        made.ledger.done("log", "publish")
        made.ledger.done("log", "rotate-key", "--tenant", TENANT)
        made.ledger.done("log", "publish")
        for _ in range(2):
            made.ledger.inside("anchor", "run", "--once")
        yield made.start()


def rebuilt(service: Service, base: str, given: str) -> Checkpoint:
    """Return the checkpoint that a client of tiles finds, once the entries give its root."""
    note = parse_note(service.ask("GET", f"{base}/checkpoint", token=given).body)
    checkpoint = Checkpoint.parse(note.text)
    frontier, size = Frontier.empty(), checkpoint.size
    for first in range(0, size, TILE_WIDTH):
        tile = Tile(ENTRIES, first // TILE_WIDTH, min(size - first, TILE_WIDTH))
        answer = service.ask("GET", f"{base}/{tile.path}", token=given)
        assert answer.status == 200
        hashes = [leaf_hash(entry) for entry in decode_entries(answer.body, tile.width)[0]]
        leaves = service.ask("GET", f"{base}/{Tile(0, tile.index, tile.width).path}", token=given)
        assert leaves.body == b"".join(hashes)
        for one in hashes:
            frontier = frontier.append(one)
    assert frontier.root() == checkpoint.root
    return checkpoint


@pytest.mark.parametrize("who", sorted(PEOPLE))
def test_everybody_who_may_ask_anything_reads_the_anchor_log(service: Service, who: str) -> None:
    checkpoint = rebuilt(service, "/v1/anchors", token(service, who))
    assert checkpoint.origin == "ledger.example/anchors"
    assert checkpoint.size >= 2


def test_a_witness_reads_the_anchor_log_and_nothing_else(service: Service) -> None:
    given = token(service, "wes")
    for path in ("/v1/audit/checkpoint", "/v1/audit", "/v1/tenants", "/v1/nodes", "/v1/clauses"):
        assert service.ask("GET", path, token=given).status == 404
    assert service.ask("GET", "/v1/anchors/checkpoint").status == 401
    assert service.ask("GET", "/v1/anchors/tile/0/000.p/1").status == 401


def test_a_tenants_log_is_rebuilt_by_its_auditor_with_payloads_and_key_notes(service: Service) -> None:
    rita, flora = token(service, "rita"), token(service, "flora")
    checkpoint = rebuilt(service, "/v1/audit", rita)
    published = service.ledger.data / "published" / "t" / checkpoint.origin.rpartition("/")[2]
    digests = [path.name for path in (published / "payload").iterdir()]
    assert digests
    for digest in digests:
        sealed = service.ask("GET", f"/v1/audit/payload/{digest}", token=rita)
        assert (sealed.status, sha256(sealed.body).hexdigest()) == (200, digest)
        assert "immutable" in sealed.headers["cache-control"]
        assert service.ask("GET", f"/v1/audit/payload/{digest}", token=flora).status == 404
        assert service.ask("GET", f"/v1/audit/payload/{digest.upper()}", token=rita).status == 404
    notes = sorted(path.name for path in (published / "keys").iterdir())
    assert "1.note" in notes
    for name in notes:
        assert service.ask("GET", f"/v1/audit/keys/{name}", token=rita).body == (published / "keys" / name).read_bytes()
        assert service.ask("GET", f"/v1/audit/keys/{name}", token=flora).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "audit/payload/x", "audit/payload/..", "audit/payload/%2e%2e%2fcheckpoint", "audit/payload/" + "0" * 64,
        "audit/payload/" + "0" * 65, "audit/keys/9.note", "audit/keys/01.note", "audit/keys/1", "audit/keys/..",
        "audit/keys/%2e%2e%2fcheckpoint", "anchors/tile/0/009", "anchors/tile/../checkpoint", "anchors/tile/0/000.p/0",
        "anchors/keys/1.note", "anchors", "anchors/rounds.jsonl",
    ],
)  # fmt: skip
def test_what_is_no_file_of_the_layout_is_nothing(service: Service, path: str) -> None:
    assert service.ask("GET", f"/v1/{path}", token=token(service, "rita")).status == 404
