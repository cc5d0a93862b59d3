"""The command line as a person or a script meets it."""

import json
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from domain.transparency.tlog_proof import TlogProof
from infrastructure.keys import base64url
from infrastructure.keys.thumbprint import thumbprint
from tests.cli.conftest import EXAMPLES, ROOT, TENANT, Installation
from tests.database import TestServer

SUBMIT = ("--tenant", TENANT, "--key", "alice.json")


def readme_block(heading: str, language: str = "sh") -> str:
    """Return the block of the README under a heading."""
    found = re.search(
        rf"^##+ {heading}\n.*?^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return found.group(1)


def followed(ledger: Installation, block: str, **environ: str) -> str:
    """Follow commands word for word; return what they print."""
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=ledger.folder, env={**ledger.environment(), **environ},
        text=True, capture_output=True, check=False, timeout=500,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@dataclass
class Followed:
    """Where the README's first steps were followed, and what they printed."""

    ledger: Installation
    printed: str


@pytest.fixture(scope="module")
def stepped(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    with postgres.database() as name:
        environ = {"LEDGER_DATABASE_URL": postgres.conninfo(name), "EXAMPLES": str(EXAMPLES)}
        ledger = Installation(tmp_path_factory.mktemp("stepped"), environ)
        yield Followed(ledger, followed(ledger, readme_block("First steps")))


def test_the_readmes_first_steps_work_word_for_word(stepped: Followed) -> None:
    printed = stepped.printed
    assert "genesis written" in printed
    assert "queue        FAILED  maximum_bounds: have" in printed
    assert "held: fault: fuel" in printed
    assert "ok: verified" in printed
    assert "refused: overturned" in printed
    assert "it stands no more" in printed
    assert "equal to the live projections" in printed
    digests = re.findall(r"^state digest (\w+)$", printed, re.MULTILINE)
    assert len(digests) == 2
    assert digests[0] == digests[1]
    assert len(stepped.ledger.run("cac", "list", "--json").json["cacs"]) >= 2


def test_the_readmes_way_over_a_server_works_word_for_word(stepped: Followed) -> None:
    folder = stepped.ledger.folder
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (folder / "example.py").write_text(readme_block("From Python", "python"))
    for name in ("flood.submission.json", "nile-1871-1880.csv"):
        (folder / name).write_bytes((EXAMPLES / name).read_bytes())
    example = f'"{sys.executable}" -P example.py\n'
    block = readme_block("Over a server").replace("# TERM ends both", f"{example}# TERM ends both", 1)
    guarded = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + block
    printed = followed(stepped.ledger, guarded, PORT=port)
    assert "queue        FAILED  maximum_bounds: have" in printed
    assert "attempt 2 on berlin-1: ESCALATE" in printed
    assert "ok: verified" in printed
    assert "acknowledged events lie where they were acknowledged" in printed
    assert "  upheld" in printed
    assert re.search(r"^wl-0x\w{32} [0-9]+ entries acknowledged$", printed, re.MULTILINE)
    said = (folder / "serve.log").read_text() + (folder / "node.log").read_text()
    assert "Traceback" not in said
    assert "served; ended" in said


def test_every_command_ends_its_output_with_one_object_when_asked(ledger: Installation, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = ledger.run("submit", EXAMPLES / "flood.submission.json", *SUBMIT, "--json").json
    held = ledger.run("submit", EXAMPLES / "starved.submission.json", *SUBMIT, "--json").json
    assert (done["status"], held["status"]) == ("done", "held")
    (cac,) = done["cacs"]
    commands: list[tuple[tuple[str | Path, ...], set[str]]] = [
        (("why", done["workload"]), {"workload", "gates", "runs"}), (("why", cac), {"workload"}),
        (("why", done["executions"][0]), {"workload"}), (("cac", "show", cac, "--output"), {"cac", "output"}),
        (("cac", "list", "--tenant", TENANT), {"cacs"}), (("cac", "list"), {"cacs"}),
        (("tenant", "list"), {"tenants"}), (("queue",), {"waiting", "nodes"}),
        (("queue", "--tenant", TENANT), {"waiting"}), (("nodes",), {"nodes"}), (("work",), {"executed"}),
        (("key", "new", "bob.json", "--name", "bob"), {"file", "did", "keys"}),
        (("policy", "adopt", EXAMPLES / "in-country.policy.json", *SUBMIT), {"version", "digest"}),
        (("audit", "export", "--tenant", TENANT, "--out", out, "--with-keys", "all"), {"origin", "size", "root"}),
        (("audit", "verify", out), {"ok", "trust", "origin", "size", "root", "first_error", "checked", "not_checked"}),
        (("audit", "replay", out), {"state_digest", "size"}),
        (("audit", "replay", "--tenant", TENANT), {"state_digest", "equals_live"}),
        (("retry", "authorize", held["workload"], "--fuel", "1000000", "--key", "alice.json"), {"workload", "status"}),
    ]  # fmt: skip
    for arguments, members in commands:
        ended = ledger.done(*arguments, "--json")
        assert members <= ended.json.keys(), arguments
        assert ended.out.count("\n") == 1, arguments


def test_what_governs_and_takes_back_ends_its_output_with_one_object_too(ledger: Installation, tmp_path: Path) -> None:
    waits = ledger.done("submit", EXAMPLES / "flood.submission.json", *SUBMIT, "--no-run", "--json").json["workload"]
    ledger.done("cancel", waits, *SUBMIT)
    held = ledger.done("submit", EXAMPLES / "starved.submission.json", *SUBMIT, "--json").json["workload"]
    clause = file_with(tmp_path / "clause.json", CLAUSE | {"clause_id": "UNDRR::Disaster::Flood@7.0.0"})
    node = ("--name", "berlin-2", "--operator", "Nordrechner", "--country", "DEU", "--key", tmp_path / "n.json")
    grant = ("--clause", "UNDRR::Disaster::Flood", "--class", "Disaster::Flood@v1")
    ledger.done("key", "new", tmp_path / "dora.json", "--name", "dora")
    commands: list[tuple[str | Path, ...]] = [
        ("retry", "refuse", held, "--key", "alice.json"),
        ("clause", "register", clause, *SUBMIT),
        ("clause", "deprecate", "UNDRR::Disaster::Flood@7.0.0", *SUBMIT, "--reason", "superseded"),
        ("node", "enrol", *node), ("node", "drain", "berlin-2", "--reason", "moves"),
        ("tenant", "register", "--dao", "DoraDAO", "--jurisdiction", "KEN", "--key", tmp_path / "dora.json", *grant),
        ("tenant", "renew", "--tenant", "DoraDAO/KEN", *grant),
    ]  # fmt: skip
    for arguments in commands:
        ended = ledger.done(*arguments, "--json")
        assert ended.json, arguments
        assert ended.out.count("\n") == 1, arguments
    dora = json.loads((tmp_path / "dora.json").read_text())["keys"]["submission"]["x"]
    kid = thumbprint(base64url.decode(dora))
    revoke = ("tenant", "revoke-key", kid, "--tenant", "DoraDAO/KEN", "--key", tmp_path / "dora.json")
    assert ledger.done(*revoke, "--reason", "stolen", "--json").json
    flood = EXAMPLES / "flood.submission.json"
    ledger.refused("submit", flood, "--tenant", "DoraDAO/KEN", "--key", tmp_path / "dora.json", says="no key enrolled")


@pytest.mark.parametrize(
    "kid", ["-iPaBq-TqfJQIs9UvCvDhH1E09yDMF7INy9OB_u685A", "--json-TqfJQIs9UvCvDhH1E09yDMF7INy9OB_u68"]
)
def test_a_thumbprint_that_begins_with_a_dash_is_no_option(ledger: Installation, kid: str) -> None:
    revoke = ("tenant", "revoke-key", kid, "--tenant", "ClimateDAO/DEU", "--key", "alice.json", "--reason", "stolen")
    ledger.refused(*revoke, says="key")


def test_every_refusal_ends_with_one_object_when_asked(ledger: Installation) -> None:
    for arguments, code in (
        (("why", "wl-0x" + "0" * 32), 1), (("why", "x"), 1), (("init",), 1), (("audit", "verify", "nowhere"), 1),
        (("audit", "verify", "nowhere", "--max-age", "7d"), 64), (("audit", "replay"), 64), (("submit",), 64),
        (("audit", "replay", "nowhere", "--at", "noon"), 64), (("queue", "--dance"), 64), (("dance",), 64),
    ):  # fmt: skip
        ended = ledger.inside(*arguments, "--json")
        assert ended.code == code, arguments
        assert {"error", "first_error"} & ended.json.keys(), arguments


def test_exit_codes_without_a_ledger_a_database_or_a_readable_directory(tmp_path: Path) -> None:
    empty = Installation(tmp_path, {})
    empty.refused("queue", says="init")
    empty.refused("tenant", "list", says="there is no ledger")
    assert not empty.data.exists()
    away = Installation(tmp_path, {"LEDGER_DATABASE_URL": "postgresql://u:hush-hush@127.0.0.1:1/x"})
    ended = away.run("init", code=69)
    assert "nothing listens there" in ended.err
    assert "hush-hush" not in ended.err
    wrong = Installation(tmp_path, {"LEDGER_DATABASE_URL": "postgresql://hush-hush:%zz"})
    assert "hush-hush" not in wrong.run("init", code=1).err


def _processor_s() -> float:
    """Return what ended children have used of the processor: a busy machine makes them wait, not work."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("arguments", [(), ("audit",), ("submit",)], ids=str)
def test_help_is_there_at_once(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ledger = Installation(tmp_path, {})
    ledger.end(ledger.start(*arguments, "--help"))
    began_s = _processor_s()
    ended = ledger.end(ledger.start(*arguments, "--help"))
    assert _processor_s() - began_s < 1.5
    assert "Usage: enclave-ledger" in ended.out


def test_no_output_holds_a_secret(ledger: Installation, tmp_path: Path) -> None:
    row = ledger.done("submit", EXAMPLES / "flood.submission.json", *SUBMIT, "--json").json
    ledger.done("cac", "show", row["cacs"][0], "--output")
    ledger.done("key", "new", tmp_path / "carol.json", "--name", "carol")
    ledger.done("audit", "export", "--tenant", TENANT, "--out", tmp_path / "bundle", "--with-keys", "all", "--json")
    ledger.done("audit", "verify", tmp_path / "bundle")
    ledger.done("queue")
    ledger.refused("init")
    wallets = [path for folder in (ledger.folder, ledger.data, tmp_path) for path in folder.glob("*.json")]
    keys = [key["d"] for path in wallets for key in json.loads(path.read_text())["keys"].values()]
    disclosed = [row["key"] for row in json.loads((tmp_path / "bundle/keys.json").read_text())["streams"]]
    assert len(keys) >= 15
    everything = "".join(ledger.said)
    assert not [secret for secret in (*keys, *disclosed) if secret in everything]
    for path in wallets:
        assert path.stat().st_mode & 0o077 == 0


def test_it_works_from_another_folder_and_with_relative_paths(ledger: Installation, tmp_path: Path) -> None:
    relative = os.path.relpath(ledger.data, tmp_path)
    wallet = os.path.relpath(ledger.folder / "alice.json", tmp_path)
    started = ledger.start(
        "submit", EXAMPLES / "flood.submission.json", "--tenant", TENANT, "--key", wallet, "--data-dir", relative,
        "--json", cwd=tmp_path,
    )  # fmt: skip
    assert ledger.end(started).json["status"] == "done"
    assert list(tmp_path.iterdir()) == []


def test_two_commands_at_the_same_time_on_one_installation_both_do_their_work(ledger: Installation) -> None:
    began = [
        ledger.start("submit", EXAMPLES / "flood.submission.json", *SUBMIT, "--data-dir", ledger.data, "--json")
        for _ in range(3)
    ]
    rows = [ledger.end(process).json for process in began]
    assert [row["status"] for row in rows] == ["done"] * 3
    assert len({row["cacs"][0] for row in rows}) == 3


def test_two_commands_at_the_same_time_share_one_embedded_database(tmp_path: Path) -> None:
    ledger = Installation(tmp_path / "an installation", {})
    ledger.folder.mkdir()
    ledger.run("init", "--host", "embedded.example")
    both = [ledger.start("tenant", "list", "--data-dir", ledger.data, "--json") for _ in range(2)]
    assert [ledger.end(process).json for process in both] == [{"tenants": []}] * 2


def test_what_is_handed_in_only_is_executed_by_work(ledger: Installation) -> None:
    row = ledger.done("submit", EXAMPLES / "flood.submission.json", *SUBMIT, "--no-run", "--json").json
    assert row["status"] == "queued"
    assert "place 1 within its class" in ledger.done("why", row["workload"]).out
    assert ledger.done("queue", "--json").json["waiting"][0]["workload"] == row["workload"]
    (own,) = ledger.done("queue", "--tenant", TENANT, "--json").json["waiting"]
    assert own == {"workload": row["workload"], "attempt": 1, "deferred": False}
    seen, told = (
        {row["node"]: row for row in ledger.done("nodes", *more, "--json").json["nodes"]}
        for more in ((), ("--tenant", TENANT))
    )
    assert seen.keys() == told.keys() != set()
    for name, row_of in told.items():
        assert row_of.keys() == seen[name].keys() - {"free_slots", "free_memory_bytes", "load_percent_bucket"}
    queued_at = ledger.done("why", row["workload"], "--json").json["at_ms"]
    ledger.done("work")
    assert ledger.done("why", row["workload"], "--json").json["status"] == "done"
    before = ledger.done("why", row["workload"], "--at", str(queued_at), "--json").json
    assert (before["status"], before["waiting"]["place"], before["waiting"]["reason"]) == ("queued", 1, "undecided")
    assert ledger.inside("why", row["workload"], "--at", "1").code == 1


def test_the_entry_that_decided_comes_with_its_proof(ledger: Installation, tmp_path: Path) -> None:
    row = ledger.done("submit", EXAMPLES / "flood.submission.json", *SUBMIT, "--json").json
    ledger.done("log", "publish")
    proof = tmp_path / "decision.tlog-proof"
    decision = ledger.done("why", row["workload"], "--proof", proof, "--json").json["decision"]
    found = TlogProof.parse(proof.read_bytes())
    assert (found.index, found.checkpoint().origin) == (decision["leaf_index"], decision["log"])


def test_a_clause_that_is_not_registered_is_a_denial_and_not_an_error(ledger: Installation, tmp_path: Path) -> None:
    content = json.loads((EXAMPLES / "flood.submission.json").read_text())
    content |= {"clause_id": "UNDRR::Disaster::Flood@9.0.0", "inputs": [{"text": "x"}]}
    (tmp_path / "w.json").write_text(json.dumps(content))
    ended = ledger.done("submit", tmp_path / "w.json", *SUBMIT)
    assert "denied: the clause is not registered" in ended.out
    assert "FAILED" in ended.out


# Bad input


def file_with(path: Path, content: Any) -> Path:
    """Write a file: bytes as they are, anything else as JSON."""
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


SUBMISSION = json.loads((EXAMPLES / "starved.submission.json").read_text()) | {"inputs": [{"text": "x"}]}
CLAUSE = json.loads((EXAMPLES / "flood.clause.json").read_text()) | {
    "module": str(ROOT / "infrastructure/demo/clauses/flood.wat")
}


def test_bad_files_are_one_clear_line_each_and_write_nothing(ledger: Installation, tmp_path: Path) -> None:
    before = ledger.sizes()
    (tmp_path / "broken.wat").write_text("(module")
    (tmp_path / "huge.wasm").write_bytes(bytes(2_000_000))
    (tmp_path / "none.wasm").write_bytes(b"no module")
    submissions: list[tuple[Any, str]] = [
        (b"", "malformed"), (b"[]", "malformed"), (b"\xff", "malformed"),
        (SUBMISSION | {"clause_id": "x"}, "clause id"),
        (SUBMISSION | {"bounds": {"fuel": -1}}, "bounds"), (SUBMISSION | {"inputs": []}, "inputs"),
        (SUBMISSION | {"inputs": [{"file": "nowhere.csv"}]}, "cannot read"), (SUBMISSION | {"x": 1}, "x"),
        (SUBMISSION | {"inputs": [{"text": "a", "file": "b"}]}, "either"), (SUBMISSION | {"wait_ms": 1}, "wait_ms"),
        (SUBMISSION | {"resource_class": "x"}, "resource class"),
        (SUBMISSION | {"inputs": [{"file": "."}]}, "cannot read"),
    ]  # fmt: skip
    clauses: list[tuple[Any, str]] = [
        (b"{", "JSON"), (b"7", "JSON object"), ({"clause_id": "x"}, "module"), (CLAUSE | {"owner": "?"}, "DAO"),
        (CLAUSE | {"module": "nowhere.wasm"}, "cannot read"), (CLAUSE | {"module": "x.txt"}, "neither"),
        (CLAUSE | {"module": "broken.wat"}, "not valid WebAssembly text"), (CLAUSE | {"module": 7}, "module"),
        (CLAUSE | {"module": "huge.wasm"}, "more than"), (CLAUSE | {"clause_id": "Flood"}, "clause id"),
        (CLAUSE | {"module": "none.wasm", "clause_id": "UNDRR::Disaster::Flood@2.0.0"}, "module"),
        (CLAUSE | {"inputs": 99}, "inputs"), (CLAUSE, "registered"), (b"[" * 30_000, "JSON"),
    ]  # fmt: skip
    policies: list[tuple[Any, str]] = [
        (b"{}x", "malformed"), ({"rules": [{"kind": "x"}]}, "rules"),
        ({"rules": [{"kind": "in_country", "x": 1}]}, "x"),
        ({"rules": [{"kind": "in_country", "countries": ["DE"]}]}, "country"), (b" " * 20_000, "larger"),
    ]  # fmt: skip
    for command, cases in (
        (("submit",), submissions),
        (("clause", "register"), clauses),
        (("policy", "adopt"), policies),
    ):
        for content, says in cases:
            ledger.refused(*command, file_with(tmp_path / "file.json", content), *SUBMIT, says=says)
    assert ledger.sizes() == before


def test_bad_names_and_wallets_are_one_clear_line_each_and_write_nothing(ledger: Installation, tmp_path: Path) -> None:
    before = ledger.sizes()
    file_with(tmp_path / "none.json", {"format": "x"})
    (tmp_path / "none.json").chmod(0o600)
    file_with(tmp_path / "open.json", {})
    (tmp_path / "open.json").chmod(0o644)
    granted = ("--clause", "UNDRR::Disaster::Flood", "--class", "Disaster::Flood@v1")
    tenant = ("tenant", "register", "--key", "alice.json")
    node = ("node", "enrol", "--key", tmp_path / "new.json")
    flood = EXAMPLES / "flood.submission.json"
    cases: list[tuple[tuple[str | Path, ...], str]] = [
        ((*tenant, "--dao", "a b", "--jurisdiction", "DEU", *granted), "DAO"),
        ((*tenant, "--dao", "A", "--jurisdiction", "XXX", *granted), "jurisdiction"),
        ((*tenant, "--dao", "A", "--jurisdiction", "DEU", "--clause", "x", "--class", "y"), "clause id"),
        ((*tenant, "--dao", "A", "--jurisdiction", "DEU", *granted[:2], "--class", "y"), "resource class"),
        ((*tenant, "--dao", "A", "--jurisdiction", "DEU", *granted, "--threshold", "2"), "threshold"),
        ((*tenant, "--dao", "ClimateDAO", "--jurisdiction", "deu", *granted), "registered in DEU already"),
        (("tenant", "register", "--dao", "A", "--jurisdiction", "DEU", *granted), "--key"),
        ((*node, "--name", "a b", "--operator", "O", "--country", "DEU"), "node"),
        ((*node, "--name", "a", "--operator", "O P", "--country", "DEU"), "operator"),
        ((*node, "--name", "a", "--operator", "O", "--country", "XX"), "country"),
        ((*node, "--name", "a", "--operator", "O", "--country", "DEU", "--slots", "0"), "slots"),
        (("node", "enrol", "--key", "node.json", "--name", "berlin-1", "--operator", "O", "--country", "DEU"), "name"),
        (("submit", flood, "--tenant", "ClimateDAO/KEN", "--key", "alice.json"), "no such tenant"),
        (("submit", flood, "--tenant", "x", "--key", "alice.json"), "DAO/JUR"),
        (("submit", flood, "--tenant", "root", "--key", "alice.json"), ""),
        (("submit", flood, "--tenant", "platform", "--key", "alice.json"), ""),
        (("submit", flood, "--tenant", TENANT, "--key", "node.json"), "no key enrolled"),
        (("submit", flood, "--tenant", TENANT, "--key", "nowhere.json"), "nowhere.json"),
        (("submit", flood, "--tenant", TENANT, "--key", tmp_path / "none.json"), "wallet"),
        (("submit", flood, "--tenant", TENANT, "--key", tmp_path / "open.json"), "open.json"),
        (("key", "new", tmp_path / "new.json", "--name", "Alice B"), "name"),
        (("key", "new", "alice.json", "--name", "alice"), "alice.json"),
        (("retry", "authorize", "wl-0x" + "0" * 32, "--key", "alice.json"), "nothing of that id"),
        (("retry", "authorize", "x", "--key", "alice.json"), "id"), (("cac", "show", "cac-0x" + "0" * 32), "nothing"),
        (("cac", "list", "--tenant", "Nobody/DEU"), "no such tenant"), (("why", "exec-0x12"), "id"),
        (("audit", "export", "--tenant", TENANT, "--out", ledger.folder), "exists already"),
        (("audit", "export", "--tenant", TENANT, "--out", tmp_path / "o", "--with-keys", "x"), "stream"),
        (("audit", "replay", "--tenant", TENANT, "--size", "100000"), "size"),
        (("audit", "verify", tmp_path, "--log-key", "x"), "--log-key"), (("init", "--host", "Bad Host"), "host"),
        (("init", "--threshold", "2"), "threshold"), (("init",), "genesis already"),
    ]  # fmt: skip
    for arguments, says in cases:
        ledger.refused(*arguments, says=says)
    assert not (tmp_path / "new.json").exists()
    assert ledger.sizes() == before


def test_a_refused_founding_leaves_nothing(tmp_path: Path) -> None:
    ledger = Installation(tmp_path, {})
    for arguments in (("--host", "Bad Host"), ("--threshold", "2"), ("--host", "")):
        ledger.refused("init", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_verifies_with_no_ledger_database_or_wallet_near(ledger: Installation, tmp_path: Path) -> None:
    bundle = tmp_path / "some bundle"
    told = ledger.done("audit", "export", "--tenant", TENANT, "--out", bundle, "--with-keys", "all", "--json").json
    away = Installation(tmp_path, {"LEDGER_DATABASE_URL": "postgresql://nowhere.invalid:1/x"})
    for key in (*told["log_keys"], bundle / "log.vkey"):
        ended = away.end(away.start("audit", "verify", bundle, "--log-key", key, "--json"))
        assert (ended.json["ok"], ended.json["size"]) == (True, told["size"])
        assert ended.json["trust"].startswith("verified")
    other = ledger.done("audit", "export", "--tenant", "platform", "--out", tmp_path / "p", "--json").json["log_keys"]
    ended = away.end(away.start("audit", "verify", bundle, "--log-key", other[0], "--json"), code=1)
    assert ended.json["ok"] is False
    last = away.end(away.start("audit", "replay", bundle, "--json")).json
    at = away.end(away.start("audit", "replay", bundle, "--at", str(last["at_ms"]), "--json")).json
    assert at["state_digest"] == last["state_digest"]
    first = away.end(away.start("audit", "replay", bundle, "--at", "2001-01-01T00:00:00Z", "--json")).json
    assert first["size"] == 0
    (bundle / "tile/entries").rename(bundle / "tile/other")
    ended = away.end(away.start("audit", "verify", bundle), code=1)
    assert "NOT OK" in ended.out
    assert "first error" in ended.out
