"""An operator loses what it acknowledged at the end of a log: `audit verify --acks` proves it by rounds that passed."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from infrastructure.acknowledging import PUBLISH_WITHIN_ROUNDS
from infrastructure.anchors.exporting import bundle_files
from infrastructure.anchors.openings import RoundRange
from infrastructure.anchors.trust import log_trust, trust_policy, write_trust
from infrastructure.cli.app import app
from infrastructure.keys import ed25519
from infrastructure.ledger import Answer
from infrastructure.publish.logs import log_signer
from infrastructure.statements.acknowledgement import KEY_FILE, ack_key_document
from infrastructure.tlog.bundle import write_bundle
from tests.anchoring.stage import Stage, policy_of, staged
from tests.database import TestServer


@dataclass
class Lost:
    """A tenant that holds the acknowledgement of an entry which the operator left out of the log from then on."""

    stage: Stage
    size: int
    acks: Path
    policy: Path

    def bundle(self, rounds: int, *, key: bytes | None = None) -> Path:
        """Write the log without its tail, as whoever holds its keys can, with the openings of its first rounds."""
        ledger, log = self.stage.ledger, self.stage.log()
        entries = [stored.entry for stored in ledger.recorder.entries(log.log_id, 0, self.size)]
        files = bundle_files(ledger, log, RoundRange(0, rounds - 1)) if rounds else ()
        shown = key or ed25519.public_bytes(ledger.keyring.get(log.log_id).acknowledgement_key())
        out = Path(tempfile.mkdtemp(dir=self.stage.cell.folder))
        signer = log_signer(ledger, log.log_id, self.size)
        extra = [(KEY_FILE, ack_key_document(shown)), *files]
        write_bundle(entries, size=self.size, signer=signer, at_unix_s=1, out=out, extra=extra)
        return out

    def verified(self, bundle: Path, further: Sequence[object] = ()) -> tuple[int, Any]:
        """Run `audit verify --acks`; return its exit code and what it says."""
        arguments = ["audit", "verify", str(bundle), "--acks", str(self.acks), *map(str, further), "--json"]
        ended = CliRunner().invoke(app, arguments)
        return ended.exit_code, json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def lost(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lost]:
    with postgres.database() as name, staged(tmp_path_factory.mktemp("cell"), postgres.conninfo(name)) as stage:
        stage.policy = policy_of([stage.witness("w1.example")])
        stage.turn()
        heard: list[Answer] = []
        stage.ledger.on_answer = heard.append
        size = stage.ledger.head(stage.log().log_id).size
        stage.grow()
        stage.ledger.on_answer = None
        acks, policy = stage.cell.folder / "acks", stage.cell.folder / "policy"
        acks.mkdir()
        (one,) = (one for answer in heard for one in answer.acknowledgements)
        (acks / "one.ack").write_bytes(one.to_bytes())
        write_trust(policy, trust_policy(stage.ledger, stage.policy, stage.log()), log_trust(stage.ledger, stage.log()))
        for _ in range(PUBLISH_WITHIN_ROUNDS):
            stage.turn(publish=False)
        yield Lost(stage, size, acks, policy)


def test_a_lost_tail_is_proved_once_a_witnessed_round_has_passed(lost: Lost) -> None:
    code, told = lost.verified(lost.bundle(PUBLISH_WITHIN_ROUNDS + 1), ["--policy", lost.policy])
    assert (code, told["ok"], told["trust"]) == (1, False, "not verified")
    assert told["first_error"].startswith("one.ack: lost write: ")
    (one,) = told["acks"]["lost"]
    assert (one["leaf_index"], one["publish_by"]) == (lost.size, PUBLISH_WITHIN_ROUNDS)
    assert f"round {PUBLISH_WITHIN_ROUNDS} has passed" in one["reason"]


def test_before_its_round_it_is_not_due(lost: Lost) -> None:
    code, told = lost.verified(lost.bundle(PUBLISH_WITHIN_ROUNDS), ["--policy", lost.policy])
    assert (code, told["acks"]["not_due"], told["acks"]["untold"]) == (0, 1, 0)
    assert "1 acknowledged events that are not due yet" in told["not_checked"]


def test_where_no_round_is_witnessed_it_could_not_be_told(lost: Lost) -> None:
    for rounds, given in ((0, ["--policy", lost.policy]), (PUBLISH_WITHIN_ROUNDS + 1, [])):
        code, told = lost.verified(lost.bundle(rounds), given)
        assert (code, told["acks"]["not_due"], told["acks"]["untold"]) == (0, 0, 1)
        assert any(line.startswith("1 acknowledged events past the bundle's end: ") for line in told["not_checked"])
        assert not any("not due yet" in line for line in told["not_checked"])


def test_a_bundle_with_another_key_of_acknowledgements_than_the_tenants_is_refused(lost: Lost) -> None:
    other = ed25519.public_bytes(Ed25519PrivateKey.generate())
    code, told = lost.verified(lost.bundle(1, key=other), ["--policy", lost.policy])
    assert (code, told["first_error"].partition(":")[0]) == (1, KEY_FILE)
    assert "not the key of acknowledgements that is known from outside" in told["first_error"]
