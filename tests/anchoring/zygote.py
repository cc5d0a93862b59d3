"""Makes turns of the anchors' publisher in processes that die where they are told. Run as a script.

Each line on stdin is a JSON object {"point", "at_ms", "data", "conninfo", "signed"}; a child is forked for it, makes
one turn, and dies by SIGKILL at the point. The answer is the child's exit status on stdout. Every text that is signed
is first written to the file `signed`.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import infrastructure.anchors.publisher as publishing
from infrastructure.anchors.cosigned import WitnessRecords
from infrastructure.anchors.journal import Journal
from infrastructure.anchors.rounds import Rounds
from infrastructure.anchors.running import publish_logs
from infrastructure.anchors.witnesses import read_witnesses
from infrastructure.clock import VirtualClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.ledger import open_ledger
from infrastructure.publish.files import FileBatch
from infrastructure.publish.floors import Floors
from infrastructure.publish.publisher import Publisher
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tlog.signing import LogSigner

PLACES: dict[str, tuple[Any, str]] = {
    "journal": (Journal, "write"),
    "round": (Rounds, "append"),
    "tiles aside": (FileBatch, "add"),
    "a tile": (FileBatch, "_put"),
    "tiles": (FileBatch, "place"),
    "floor": (Floors, "raise_to"),
    "signature": (LogSigner, "sign_checkpoint"),
    "witnesses": (publishing, "ask"),
    "cosignatures kept": (WitnessRecords, "keep"),
    "checkpoint": (TileDirectory, "put_checkpoint"),
}
POINTS = tuple(f"{when} {name}" for name in PLACES for when in ("before", "after"))


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _then_die(real: Callable[..., Any]) -> Callable[..., None]:
    def call(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        _die()

    return call


def _arm(point: str) -> None:
    when, _, name = point.partition(" ")
    if name in PLACES:
        where, what = PLACES[name]
        setattr(where, what, _die if when == "before" else _then_die(getattr(where, what)))


def _noting(path: Path) -> None:
    real = LogSigner.sign_checkpoint

    def sign(self: LogSigner, text: bytes, at_unix_s: int) -> bytes:
        with path.open("ab") as file:
            file.write(json.dumps(text.decode()).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return real(self, text, at_unix_s)

    LogSigner.sign_checkpoint = sign  # type: ignore[method-assign]


def _turn(point: str, at_ms: int, data: str, conninfo: str, signed: str) -> None:
    _noting(Path(signed))
    environ = {"LEDGER_DATABASE_URL": conninfo}
    with open_ledger(
        Path(data), environ, clock=VirtualClock(at_ms), ids=SystemIds(), entropy=SystemEntropy()
    ) as ledger:
        publish_logs(Publisher(ledger), print)
        publisher = publishing.AnchorPublisher(ledger, read_witnesses(Path(data)))
        _arm(point)
        publisher.turn(every_ms=60_000)


def main() -> None:
    """Serve until stdin ends."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            sys.stdin.close()
            try:
                _turn(**json.loads(line))
            except BaseException as error:  # noqa: BLE001 - the parent is told
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
