import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from domain.errors import UnavailableError
from infrastructure.witness.client import WitnessClient
from infrastructure.witness.serve import witness_keys

ROOT = Path(__file__).resolve().parents[2]
DYING = """
import os, signal, sys
from pathlib import Path
from infrastructure.clock import SystemClock
from infrastructure.keys import private_files
from infrastructure.witness.records import Records
from infrastructure.witness.serve import serve

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def then_die(real):
    def call(*arguments, **named):
        real(*arguments, **named)
        die()
    return call

where = sys.argv[3]
if where == "after keeping":
    Records.keep = then_die(Records.keep)
elif where == "before renaming":
    Path.replace = die
elif where == "after renaming":
    Path.replace = then_die(Path.replace)
elif where == "before keeping":
    Records.keep = die

def ready(host, port):
    print(port, flush=True)

serve(Path(sys.argv[1]), log_keys_file=Path(sys.argv[2]), clock=SystemClock(), port=0, ready=ready)
"""


class Served:
    """A witness in a process of its own, which dies where it is told."""

    def __init__(self, directory: Path, log: Any, where: str) -> None:
        logs = directory.parent / "logs.vkey"
        logs.write_text("".join(f"{key}\n" for key in log.signer.verifier_keys()))
        self.process = subprocess.Popen(
            [sys.executable, "-c", DYING, str(directory), str(logs), where],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        port = int(self.process.stdout.readline())
        self.client = WitnessClient(f"http://127.0.0.1:{port}", witness_keys(directory))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.parametrize("where", ["before keeping", "before renaming", "after renaming", "after keeping"])
def test_a_witness_killed_between_persisting_and_answering_cosigns_the_same_history_again(
    directory: Path, log: Any, forked: Any, where: str
) -> None:
    with Served(directory, log, "nowhere") as served:
        served.client.add_checkpoint(log.note(5), 0, log.prove)
    with Served(directory, log, where) as served:
        with pytest.raises(UnavailableError, match="does not answer"):
            served.client.add_checkpoint(log.note(9), 5, log.prove)
        assert served.process.wait(30) == -signal.SIGKILL
    with Served(directory, log, "nowhere") as served:
        found = served.client.add_checkpoint(log.note(9), 5, log.prove)
        assert len(found.times) == 2
        with pytest.raises(Exception, match="does not extend"):
            served.client.add_checkpoint(forked.note(12), 9, forked.prove)
        served.client.add_checkpoint(log.note(12), 9, log.prove)
