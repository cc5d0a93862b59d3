"""The processes of the demo: started as anybody would start them, and all ended with it.

Invariants:
- Each has a session of its own, so an interrupt from the terminal reaches the demo alone, which ends them in order.
- Whatever ends the demo ends them, the service last, by TERM and patience, then by KILL. Where the system can
  (Linux), each gets TERM too when the demo itself is killed.
- What they say lies in files of the run, and is shown where one fails.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from domain.errors import UnavailableError

PATIENCE_S: Final = 15.0
_LOOK_S: Final = 0.05
_TAIL_BYTES: Final = 2_000
_PR_SET_PDEATHSIG: Final = 1


@dataclass(slots=True)
class Child:
    """A process, its name, and the file of what it prints."""

    name: str
    process: "subprocess.Popen[bytes]"
    said: Path


@dataclass
class Children:
    """Starts processes of this program. A `with` block is their time.

    Args:
        folder: of the run; what they say goes to `logs/`.
        environ: the environment that they get.
        python: the interpreter.
    """

    folder: Path
    environ: Mapping[str, str]
    python: str = sys.executable
    running: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        (self.folder / "logs").mkdir(mode=0o700, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self, name: str, *arguments: str | Path) -> Child:
        """Start a command of the program.

        Raises:
            UnavailableError: when there is no process to be had.
        """
        said = self.folder / "logs" / f"{name}.log"
        command = [self.python, "-m", "infrastructure.cli", *map(str, arguments)]
        try:
            with said.open("ab") as log, said.with_suffix(".out").open("wb") as out:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=dict(self.environ),
                    start_new_session=True, preexec_fn=_end_with_parent,  # noqa: PLW1509 - two plain system calls
                )  # fmt: skip
        except OSError as error:
            raise UnavailableError(f"cannot start {name}: {error.strerror}") from None
        child = Child(name, process, said)
        self.running.append(child)
        return child

    def ready(self, child: Child, within_s: float) -> dict[str, Any]:
        """Return the object that a child prints when it is ready.

        Raises:
            UnavailableError: when it ends, or prints none in time.
        """
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            self.require_running()
            for line in child.said.with_suffix(".out").read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    found: dict[str, Any] = json.loads(line)
                    return found
            time.sleep(_LOOK_S)
        raise UnavailableError(f"{child.name} was not ready within {within_s:.0f} s; {_told(child)}")

    def require_running(self) -> None:
        """Require that none has ended by itself.

        Raises:
            UnavailableError: naming the one that has, with its last words.
        """
        for child in self.running:
            if child.process.poll() is not None:
                raise UnavailableError(f"{child.name} ended by itself ({child.process.returncode}); {_told(child)}")

    def end(self) -> dict[str, int]:
        """End all: what speaks with the first one together, that one last. Return how each ended (negative: a signal).

        An interrupt meanwhile leaves none behind: what has not ended is still here, for the next call.
        """
        codes: dict[str, int] = {}
        while self.running:
            group = self.running[1:] or self.running[:1]
            for child in group:
                if child.process.poll() is None:
                    child.process.terminate()
            until_s = time.monotonic() + PATIENCE_S
            for child in group:
                codes[child.name] = _ended(child.process, max(0.0, until_s - time.monotonic()))
                self.running.remove(child)
        return codes


def _ended(process: "subprocess.Popen[bytes]", within_s: float) -> int:
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def _told(child: Child) -> str:
    with child.said.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL_BYTES))
        words = file.read().decode(errors="replace").strip()
    return (
        f"it said: {words.splitlines()[-1]} (all of it: {child.said})" if words else f"it said nothing ({child.said})"
    )


_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """In the child: be told to end when the parent is gone; signals that the parent ignores are as usual."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
