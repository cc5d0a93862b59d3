"""Real server, real node processes: from submission to CAC over loopback HTTP, and every death on the way."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infrastructure.node.journal import is_run
from tests.api.service import Service, ended, eventually

CRASHING = Path(__file__).with_name("crashing.py")
ISSUED, FAULTED, STARTED = "cac.issued.v1", "execution.faulted.v1", "execution.enclave_started.v1"
REFUSED, RESET = "execution.report_refused.v1", "execution.runtime_reset.v1"
TOPICS = (ISSUED, FAULTED, STARTED, REFUSED, RESET)

NO_LOSS, LOSS = {ISSUED: 1, FAULTED: 0, STARTED: 1, REFUSED: 0, RESET: 1}, {ISSUED: 0, FAULTED: 1, REFUSED: 0, RESET: 1}


def counts(service: Service) -> dict[str, int]:
    """Count what matters of executions."""
    return {topic: service.rows(topic) for topic in TOPICS}


def since(service: Service, before: dict[str, int]) -> dict[str, int]:
    """Count what came since."""
    return {topic: now - before[topic] for topic, now in counts(service).items()}


def test_several_workloads_become_cacs_over_http(service: Service) -> None:
    before = counts(service)
    node = service.node("node.json")
    service.submit(5)
    eventually(lambda: since(service, before)[ISSUED] == 5)
    eventually(lambda: service.ledger.done("cac", "list", "--json").json["cacs"])
    code, said, _ = ended(node)
    assert (code, said["executed"], said["lost"], said["undelivered"]) == (0, 5, 0, 0)
    assert since(service, before) == {ISSUED: 5, FAULTED: 0, STARTED: 5, REFUSED: 0, RESET: 5}


def test_a_fault_is_reported_and_held(service: Service) -> None:
    before = counts(service)
    node = service.node("node.json")
    service.submit(1, "starved.submission.json")
    eventually(lambda: since(service, before)[RESET] == 1)
    assert since(service, before)[FAULTED] == 1
    assert since(service, before)[ISSUED] == 0
    assert ended(node)[0] == 0


STEPS = [
    pytest.param("append", 1, NO_LOSS, id="its evidence is signed and was not sent: nothing began, it begins anew"),
    pytest.param("append", 2, LOSS, id="its start is marked and it did not run: it never runs again"),
    pytest.param("append", 3, NO_LOSS, id="its result is durable and was not sent: it is sent"),
    pytest.param("sent", 1, LOSS, id="inputs were released to an enclave that is gone: it is lost"),
    pytest.param("sent", 2, None, id="a later answer was not noted: asked again", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("what", "number", "expected"), STEPS)
def test_a_node_that_is_killed_at_any_report_loses_nothing_and_runs_nothing_twice(
    service: Service, what: str, number: int, expected: dict[str, int] | None
) -> None:
    before = counts(service)
    node = subprocess.Popen(
        [sys.executable, str(CRASHING), what, str(number), service.url, "node.json"], text=True,
        cwd=service.ledger.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=service.ledger.environment(),
    )  # fmt: skip
    service.nodes.append(node)
    service.submit(1)
    assert node.stdout is not None
    assert node.stdout.readline() in {"here\n", ""}
    node.kill()
    node.communicate()
    again = service.node("node.json")
    eventually(lambda: since(service, before)[RESET] == 1)
    eventually(lambda: since(service, before)[ISSUED] + since(service, before)[FAULTED] == 1)
    came = since(service, before)
    assert came[STARTED] <= 1
    assert came[REFUSED] == 0
    for topic, count in (expected or {}).items():
        assert came[topic] == count, (topic, came)
    eventually(lambda: is_run(service.ledger.folder / "node.json"))
    time.sleep(0.5)  # it listens to signals by now
    code, said, _ = ended(again)
    assert (code, said["undelivered"]) == (0, 0)


def test_a_server_that_is_killed_and_away_loses_nothing(service: Service) -> None:
    before = counts(service)
    node = service.node("node.json")
    service.submit(4)
    eventually(lambda: since(service, before)[STARTED] >= 1)
    assert service.stop(signal.SIGKILL) != 0
    time.sleep(2)
    service.start()
    eventually(lambda: since(service, before)[ISSUED] == 4)
    assert since(service, before)[FAULTED] == 0
    code, said, _ = ended(node)
    assert (code, said["undelivered"]) == (0, 0)


def test_a_node_waits_for_a_ledger_that_is_away_and_ends_when_it_is_told_to(service: Service) -> None:
    service.stop()
    try:
        node = service.node("node.json")
        assert node.stderr is not None
        assert "waiting for the ledger" in node.stderr.readline()
        code, said, _ = ended(node)
    finally:
        service.start()
    assert (code, said["executed"]) == (0, 0)


def test_a_node_that_is_not_enrolled_is_told_so(service: Service) -> None:
    node = service.node("alice.json")
    out, err = node.communicate(timeout=30)
    assert (node.returncode, "no node is enrolled" in err) == (1, True), out


def test_a_wallet_runs_one_node_at_a_time(service: Service) -> None:
    first = service.node("node.json")
    eventually((service.ledger.folder / "node.node/lock").exists)
    time.sleep(1.5)
    second = service.node("node.json")
    _, err = second.communicate(timeout=30)
    assert (second.returncode, "another process runs the node" in err) == (1, True)
    assert ended(first)[0] == 0


def test_the_history_that_nodes_made_over_http_verifies(service: Service, tmp_path: Path) -> None:
    before = counts(service)
    node = service.node("node.json")
    service.submit(1)
    eventually(lambda: since(service, before)[ISSUED] == 1)
    assert ended(node)[0] == 0
    bundle = tmp_path / "bundle"
    service.ledger.done("log", "publish")
    service.ledger.done("audit", "export", "--tenant", "ClimateDAO/DEU", "--out", bundle, "--with-keys", "all")
    verified = service.ledger.inside("audit", "replay", str(bundle), "--json")
    assert verified.code == 0, verified
