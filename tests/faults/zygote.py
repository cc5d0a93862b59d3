"""Starts parts of the pipeline as processes, quickly: it has imported everything already, and forks. Run as a script.

    python -m tests.faults.zygote PLACE POSTMASTER_PID_FILE

Each line on stdin is `start PART` (the answer is the new process's number), or `look NUMBER` or `kill NUMBER` (its exit
status, `-` while it runs). All parts end with stdin.
"""

import contextlib
import faulthandler
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from domain.errors import UnavailableError
from tests.faults.steps import Trigger
from tests.faults.work import WORK, Place

_BREATH_S = 0.02


def _run(part: str, place: Place, postmaster: Path) -> None:
    try:
        with place.path(f"{part}.err").open("ab", buffering=0) as err:
            os.dup2(err.fileno(), 2)
            os.dup2(err.fileno(), 1)
        sys.stdin.close()
        faulthandler.register(signal.SIGUSR1)  # where it hangs, if it does
        Trigger(place.path("trigger"), postmaster).install(part)
        while True:
            try:
                WORK[part](place)
            except UnavailableError:  # away while it started: who keeps services running starts it again
                time.sleep(_BREATH_S)
    except BaseException:  # noqa: BLE001 - the test is told
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)


def _status(pid: int, flags: int) -> str:
    try:
        found, status = os.waitpid(pid, flags)
    except ChildProcessError:  # it was killed, and somebody else has collected it
        return str(-signal.SIGKILL)
    return str(os.waitstatus_to_exitcode(status)) if found else "-"


def main(place: Place, postmaster: Path) -> None:
    """Serve until stdin ends."""
    running: set[int] = set()
    for line in sys.stdin:
        verb, what = line.split()
        if verb == "start":
            pid = os.fork()
            if not pid:
                _run(what, place, postmaster)
            running.add(pid)
            answer = str(pid)
        else:
            pid = int(what)
            if verb == "kill":
                os.kill(pid, signal.SIGKILL)
            answer = _status(pid, 0 if verb == "kill" else os.WNOHANG)
            if answer != "-":
                running.discard(pid)
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(Place.from_json(sys.argv[1]), Path(sys.argv[2]))
