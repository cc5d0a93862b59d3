"""Anchoring, trust and fork proofs from the command line."""

import json
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.transparency.tlog_policy import parse_policy
from infrastructure.audit.bundle_openings import read_openings
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.witness.serve import init_witness, read_log_keys, witness_server
from tests.cli.conftest import EXAMPLES, TENANT, Installation

WITNESSES = """witness w1-ed25519 {0} {2}
witness w1-mldsa44 {1} {2}
group w1 any w1-ed25519 w1-mldsa44
quorum w1
"""
SUBMIT = ("--tenant", TENANT, "--key", "alice.json")


@pytest.fixture(scope="module")
def anchored(ledger: Installation) -> Iterator[Installation]:
    """The installation with a witness of its anchor log, two rounds, and growth between them."""
    ledger.done("anchor", "run", "--once")
    bundle = ledger.folder / "for the witness"
    ledger.done("audit", "export", "--tenant", TENANT, "--out", bundle)
    directory = ledger.folder / "witness"
    keys = init_witness(directory, "w1.example", SystemEntropy())
    log_keys = read_log_keys(bundle / "anchors/log.vkey")
    with witness_server(directory, log_keys=log_keys, clock=SystemClock()) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        policy = WITNESSES.format(*keys, f"http://127.0.0.1:{server.server_port}/")
        (ledger.data / "witnesses.policy").write_text(policy)
        ledger.done("policy", "adopt", EXAMPLES / "in-country.policy.json", *SUBMIT)
        ended = ledger.done("anchor", "run", "--once", "--json")
        assert (ended.json["round"], ended.json["cosigned_by"]) == (1, ["w1.example"])
        yield ledger
        server.shutdown()
        thread.join()


def rounds_of(ledger: Installation) -> int:
    """Return how many rounds there are; a test of this module makes some."""
    found = ledger.done("anchor", "status", "--json").json["rounds"]
    assert isinstance(found, int)
    return found


def test_an_auditor_verifies_with_the_policy_that_the_tenant_exported(anchored: Installation, tmp_path: Path) -> None:
    bundle, policy = tmp_path / "bundle", tmp_path / "climate.policy"
    ended = anchored.done("trust", "export", "--tenant", TENANT, "--out", policy, "--json")
    assert ended.json["files"] == [str(policy), f"{policy}.json"]
    assert len(parse_policy(policy.read_bytes()).logs) == 4
    assert stat.S_IMODE(Path(f"{policy}.json").stat().st_mode) == 0o600
    anchored.done("audit", "export", "--tenant", TENANT, "--out", bundle)
    last = rounds_of(anchored) - 1
    assert [one.round_index for one in read_openings(bundle)] == list(range(last + 1))
    asked = ("audit", "verify", bundle, "--policy", policy)
    ended = anchored.done(*asked, "--max-age", "1h", "--json")
    assert (ended.json["ok"], ended.json["trust"], ended.json["witnessed"]) == (True, "verified", True)
    assert (ended.json["history"], ended.json["covered"]) == (f"one history in rounds 0..{last}", ended.json["size"])
    assert f"one history in rounds 0..{last}" in anchored.done(*asked).out
    slot = json.loads(Path(f"{policy}.json").read_text())
    slot["slot_key"] = "0" * 64
    Path(f"{policy}.json").write_text(json.dumps(slot, sort_keys=True, separators=(",", ":")))
    ended = anchored.inside(*asked, "--json")
    assert ended.code == 1
    assert "round 0: the blind is not that of the slot's key" in ended.json["first_error"]


def test_the_trust_of_the_anchor_log_alone_and_what_is_never_overwritten(
    anchored: Installation, tmp_path: Path
) -> None:
    out = tmp_path / "anchors.policy"
    ended = anchored.done("trust", "export", "--out", out, "--json")
    assert ended.json["files"] == [str(out)]
    assert {log.key.name for log in parse_policy(out.read_bytes()).logs} == {"ledger.example/anchors"}
    anchored.refused("trust", "export", "--out", out, says="never overwritten")


def test_openings_are_written_for_chosen_rounds(anchored: Installation, tmp_path: Path) -> None:
    out = tmp_path / "openings"
    ended = anchored.done("anchor", "open", "--tenant", TENANT, "--rounds", "1..1", "--out", out, "--json")
    assert ended.json["openings"] == 1
    assert [path.name for path in out.iterdir()] == ["1.tlog-proof"]
    anchored.refused(
        "anchor",
        "open",
        "--tenant",
        TENANT,
        "--rounds",
        "0..99",
        "--out",
        tmp_path / "x",
        says="the anchor log's checkpoint holds",
    )
    assert not (tmp_path / "x").exists()
    for wrong in ("1", "a..b", "2..1", "-1..2", ".."):
        ended = anchored.inside("anchor", "open", "--tenant", TENANT, "--rounds", wrong, "--out", tmp_path / "x")
        assert ended.code == 64, wrong
    bundle = tmp_path / "bundle"
    anchored.done("audit", "export", "--tenant", TENANT, "--out", bundle, "--rounds", "1..1")
    assert [one.round_index for one in read_openings(bundle)] == [1]


def test_status_and_witnesses_tell_how_the_anchor_log_stands(anchored: Installation) -> None:
    told = anchored.done("anchor", "status", "--json").json
    count = rounds_of(anchored)
    assert (told["rounds"], told["published"], told["quorum_at"], told["frozen"]) == (count, count, count, None)
    (witness,) = told["witnesses"]
    assert (witness["name"], witness["cosigned"], witness["trouble"]) == ("w1.example", count, None)
    asked = anchored.done("log", "witnesses", "--json").json
    assert asked["quorum"] == "w1"
    assert len(asked["witnesses"][0]["keys"]) == 2
    assert anchored.done("anchor", "thaw", "--json").json == {"restored": 0, "closed": []}


def test_a_cadence_is_kept_for_a_number_of_rounds(anchored: Installation) -> None:
    before = rounds_of(anchored)
    ended = anchored.run("anchor", "run", "--every", "1", "--rounds", "2", "--json")
    assert ended.json["round"] == before + 1
    ended = anchored.inside("anchor", "run", "--once", "--rounds", "2")
    assert ended.code == 64


def test_fork_proofs_compare_and_check(anchored: Installation, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    policy = tmp_path / "policy"
    anchored.done("trust", "export", "--tenant", TENANT, "--out", policy)
    anchored.done("audit", "export", "--tenant", TENANT, "--out", one)
    anchored.done("audit", "export", "--tenant", "root", "--out", other)
    ended = anchored.done("audit", "fork-proof", one, one, "--policy", policy, "--json")
    assert (ended.json["fork"], ended.json["authentic"]) == (None, True)
    assert ended.json["finding"].startswith("one history: sizes ")
    ended = anchored.inside("audit", "fork-proof", one, other, "--json")
    assert (ended.code, ended.json["fork"]) == (3, None)
    assert ended.json["finding"].startswith("not comparable: two logs")
    for arguments in ((), (one, one, one), ("--check", one), (one, "--check", one, "--policy", policy)):
        assert anchored.inside("audit", "fork-proof", *arguments).code == 64, arguments
    anchored.refused("audit", "fork-proof", "--check", policy, "--policy", policy, says="policy: ")


def test_ages_and_policies_that_are_none_are_told(anchored: Installation, tmp_path: Path) -> None:
    shutil.copy(anchored.data / "witnesses.policy", tmp_path / "p")
    for arguments in (("--max-age", "7d"), ("--policy", tmp_path / "p", "--max-age", "soon")):
        assert anchored.inside("audit", "verify", "nowhere", *arguments).code == 64
    anchored.refused("audit", "verify", "nowhere", "--policy", tmp_path / "none", says="cannot read the policy")
    (tmp_path / "p").write_text("quorum none")
    anchored.refused("audit", "verify", "nowhere", "--policy", tmp_path / "p", says="ends in a newline")
