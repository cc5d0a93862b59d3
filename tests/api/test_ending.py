"""TERM ends what stands within ten seconds, whatever it waits for: a ledger that is away, one that is being opened."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from infrastructure.ending import WITHIN_S, Ending
from tests.api.holding import Way
from tests.api.service import Service, eventually
from tests.cli.conftest import Installation, first_steps
from tests.database import TestServer, postgres

__all__ = ["postgres"]

PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def ledger(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with postgres.database() as name:
        made = Installation(tmp_path_factory.mktemp("ended"), {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        first_steps(made)
        yield made


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Send TERM; return the exit code, which has to come in time, and what was said."""
    began_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began_s < PATIENCE_S
    assert "Traceback" not in err, err
    return process.returncode, err


def listens(service: Service) -> bool:
    """Tell whether it answers already."""
    try:
        return service.ask("GET", "/healthz").status == 200
    except OSError:
        return False


@pytest.mark.parametrize(
    "role", ["all", *(pytest.param(role, marks=pytest.mark.slow) for role in ("decider", "publisher", "projector"))]
)
def test_what_serves_ends_while_its_database_answers_nothing(
    ledger: Installation, role: str, postgres: TestServer
) -> None:
    with Way(ledger.environ["LEDGER_DATABASE_URL"]) as way:
        reached = Installation(ledger.folder, {"LEDGER_DATABASE_URL": way.conninfo})
        service = Service(reached, options=("--role", role))
        try:
            service.start()
            way.held.set()
            assert service.process is not None
            code, _ = ended(service.process)
            assert code == 0
            service.process = None
        finally:
            service.close()


def test_what_serves_ends_while_the_ledger_is_being_opened(ledger: Installation) -> None:
    with Way(ledger.environ["LEDGER_DATABASE_URL"]) as way:
        way.held.set()
        reached = Installation(ledger.folder, {"LEDGER_DATABASE_URL": way.conninfo})
        with socket.create_server(("127.0.0.1", 0)) as free:
            service = Service(reached, free.getsockname()[1])
        options = ("--port", str(service.port), "--role", "decider", "--data-dir", reached.data)
        process = reached.start("serve", *options)
        try:
            assert way.asked.wait(30)
            eventually(lambda: listens(service))
            assert service.ask("GET", "/readyz").status == 503
            code, err = ended(process)
            assert code == 0
            assert "cut off after 9 s" in err
        finally:
            process.kill()


def test_a_node_ends_while_the_ledger_answers_nothing(ledger: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        process = ledger.start("node", "run", "--server", url, "--key", ledger.folder / "node.json")
        try:
            mute.settimeout(30)
            asked, _ = mute.accept()
            with asked:
                code, _ = ended(process)
            assert code == 3
        finally:
            process.kill()


def test_the_end_is_counted_from_the_first_asking_and_waits_for_no_reader() -> None:
    codes: list[int] = []
    forever: Callable[[str], None] = lambda _: time.sleep(60)  # noqa: E731 - a reader that does not read
    ending = Ending(forever, 7, 9, within_s=0.05, cut_off=codes.append)
    ending.begin()
    ending.begin()
    until_s = time.monotonic() + 30
    while not codes and time.monotonic() < until_s:
        time.sleep(0.01)
    assert codes == [7]
    assert WITHIN_S < PATIENCE_S


def test_what_failed_and_then_hangs_ends_as_a_failure() -> None:
    codes: list[int] = []
    ending = Ending(lambda _: None, 7, 9, within_s=0.05, cut_off=codes.append)
    ending.begin()
    ending.begin(failed=True)
    until_s = time.monotonic() + 30
    while not codes and time.monotonic() < until_s:
        time.sleep(0.01)
    assert codes == [9]


def test_nothing_is_cut_off_that_was_not_asked_to_end(tmp_path: Path) -> None:
    made = Installation(tmp_path, {})
    with mock.patch.object(Ending, "begin") as begun:
        assert made.inside("serve", "--port", "0", "--role", "decider").code == 1
    assert not begun.called
