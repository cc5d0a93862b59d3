"""One installation without a service: `submit` works and waits, `release run` in another process lets it go on."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.service import eventually
from tests.cli.conftest import EXAMPLES, Installation, first_steps
from tests.database import TestServer
from tests.releasing.served import OWN, root_issued, with_own_custody

FLOOD = EXAMPLES / "flood.submission.json"


@pytest.fixture(scope="module")
def ledger(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with postgres.database() as name:
        made = Installation(tmp_path_factory.mktemp("own"), {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        first_steps(made)
        with_own_custody(made)
        yield made


def release(ledger: Installation) -> int:
    """Release what waits now; return how many."""
    issuer = root_issued(ledger)
    done = ledger.run("release", "run", "--tenant", OWN, "--key", "river.json", *issuer, "--once", "--json")
    return int(done.json["released"])


def test_submitting_waits_for_the_releaser_and_goes_on_to_the_result(ledger: Installation) -> None:
    submit = ledger.start(
        "submit", FLOOD, "--tenant", OWN, "--key", "river.json", "--data-dir", ledger.data, "--json"
    )  # fmt: skip
    eventually(lambda: release(ledger))
    done = ledger.end(submit)
    assert "waits for its tenant's releaser" in done.err
    (cac,) = [row["cac"] for row in ledger.done("cac", "list", "--json").json["cacs"]
              if row["workload"] == done.json["workload"]]  # fmt: skip
    shown = ledger.done("cac", "show", cac, "--output", "--key", "river.json", "--json").json
    assert shown["cac"]["released_by"] == "custody: tenant"
    assert ledger.inside("audit", "replay", "--tenant", OWN, "--json").code == 0


def test_what_was_interrupted_while_it_waited_is_placed_again(ledger: Installation, tmp_path: Path) -> None:
    submit = ledger.start("submit", FLOOD, "--tenant", OWN, "--key", "river.json", "--data-dir", ledger.data, "--json")
    assert submit.stderr is not None
    while "waits for its tenant's releaser" not in submit.stderr.readline():
        pass
    submit.send_signal(signal.SIGKILL)
    submit.communicate()
    work = ledger.start("work", "--data-dir", ledger.data, "--json")
    assert work.stderr is not None
    while "waits for its tenant's releaser" not in work.stderr.readline():
        pass
    assert release(ledger) == 1
    assert ledger.end(work).json["executed"] == 1
    topics = ledger.done("audit", "replay", "--tenant", OWN, "--json")
    assert topics.code == 0
