"""The whole pipeline as processes: writers, governor, publisher, anchors, witness, follower, reader, and PostgreSQL."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infrastructure.anchors.keys import anchor_signer
from infrastructure.clock import SystemClock
from infrastructure.keys.keyring import LogKind
from infrastructure.postgres.embedded import EmbeddedServer
from infrastructure.witness.serve import init_witness
from tests.anchoring.stage import RunningWitness, policy_of
from tests.commands.cell import ENTROPY, HOST, Cell, founded
from tests.conftest import ROOT
from tests.faults.steps import PARTS, Point, Trigger, Victim, kill_postgres
from tests.faults.work import Place

_PATIENCE_S = 60.0
_LOOK_S = 0.005


@dataclass
class Pipeline:
    """A running pipeline. Parts are started again when they were killed; one that ends by itself fails the test."""

    place: Place
    server: EmbeddedServer
    zygote: "subprocess.Popen[str]"
    trigger: Trigger
    running: dict[str, int] = field(default_factory=dict)

    def start_all(self) -> None:
        """Start every part."""
        for part in PARTS:
            self.start(part)

    def start(self, part: str) -> None:
        """Start a part."""
        self.running[part] = int(self._ask("start", part))

    def kill(self, part: str) -> None:
        """Kill a part at whatever it does, and start it again."""
        assert self._ask("kill", str(self.running[part])) == "-9", self.words(part)
        self.start(part)

    def kill_server(self) -> None:
        """Kill PostgreSQL at whatever it does, and start it again."""
        pid = self.server.pid
        assert pid is not None
        kill_postgres(pid)
        self.server.ensure_running()

    def kill_at(self, point: Point, victim: Victim) -> None:
        """Wait until a part comes to a point and dies there, or kills PostgreSQL; start again what was killed."""
        fired = self.trigger.fired
        self.trigger.arm(point, victim)
        end = time.monotonic() + _PATIENCE_S
        while self.trigger.fired == fired:
            self._look_after(None)
            assert time.monotonic() < end, f"nobody comes to {point} any more; {self._everything_said()}"
            time.sleep(_LOOK_S)
        if victim is Victim.POSTGRES:
            self.server.ensure_running()
            return
        while self._status(point.part) == "-":
            time.sleep(_LOOK_S)
        self.start(point.part)

    def stop(self) -> None:
        """Kill every part, for good."""
        for part in list(self.running):
            self._look_after(part)
            assert self._ask("kill", str(self.running.pop(part))) == "-9", self.words(part)

    def words(self, part: str) -> str:
        """Return what a part has said on its way out."""
        path = self.place.path(f"{part}.err")
        return f"{part} said: {path.read_text()[-3000:] if path.exists() else 'nothing'}"

    def _everything_said(self) -> str:
        for pid in self.running.values():
            os.kill(pid, signal.SIGUSR1)
        time.sleep(1)  # they say where they are
        log = (self.server.cluster.parent / "server.log").read_text(errors="replace")[-2000:]
        return "\n".join([*map(self.words, self.running), f"the server said: {log}"])

    def _look_after(self, part: str | None) -> None:
        for one in [part] if part else list(self.running):
            status = self._status(one)
            assert status in ("-", "-9"), f"{one} ended with {status}; {self.words(one)}"

    def _status(self, part: str) -> str:
        return self._ask("look", str(self.running[part]))

    def _ask(self, verb: str, what: str) -> str:
        asking, answers = self.zygote.stdin, self.zygote.stdout
        assert asking is not None
        assert answers is not None
        asking.write(f"{verb} {what}\n")
        asking.flush()
        return answers.readline().strip()


def make_place(folder: Path, conninfo: str) -> tuple[Cell, Place]:
    """Found a cell with two tenants that govern and three logs to write to, and a witness; return both."""
    cell = founded(folder, conninfo, at_ms=SystemClock().now_ms())
    members = [cell.join(persons=[f"admin-{number}"]) for number in range(2)]
    logs = [cell.ledger.create_log(LogKind.TENANT, HOST)[0].log_id for _ in range(3)]
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    keys = init_witness(folder / "witness", "witness.example/w1", ENTROPY)
    policy = policy_of([RunningWitness(folder / "witness", f"http://127.0.0.1:{port}", keys)])
    (folder / "data/witnesses.policy").write_bytes(policy.to_bytes())
    (folder / "logs.vkey").write_text("".join(f"{key}\n" for key in anchor_signer(cell.ledger).verifier_keys()))
    (folder / "acks").mkdir()
    wallets = [(str(member.log_id), str(cell.path_of(member.admins[0]))) for member in members]
    return cell, Place(str(folder), conninfo, tuple(map(str, logs)), tuple(wallets), port)


@contextmanager
def pipeline(place: Place, server: EmbeddedServer) -> Iterator[Pipeline]:
    """Run a pipeline; nothing of it is left at the end."""
    postmaster = server.cluster / "postmaster.pid"
    zygote = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.zygote", place.to_json(), str(postmaster)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert zygote.stdin is not None
    assert zygote.stdout is not None
    try:
        made = Pipeline(place, server, zygote, Trigger(place.path("trigger"), postmaster))
        made.start_all()
        yield made
    finally:
        zygote.stdin.close()
        assert zygote.wait(60) == 0
        zygote.stdout.close()
