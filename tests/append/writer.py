"""A process that appends as fast as it can, and writes down each acknowledgement that it got.

    python -m tests.append.writer CONNINFO KEYS OUT CALLERS SECONDS LOG...

Each caller is a task with streams of its own in all logs in turn, and one stream that all processes fight for. What was
acknowledged is appended to OUT (handed to the system before the next append): one line for each event,
`log stream version <acknowledgement as JSON>`. OUT is there once the writer begins. A database that is away is waited
for.
"""

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import IO
from uuid import UUID, uuid5

from domain.errors import ConflictError, UnavailableError
from domain.message import Pending
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.keys.keyring import Keyring
from infrastructure.ledger import Ledger
from infrastructure.postgres.connect import Database
from tests.append.scene import command, event

CONTESTED = UUID(int=7)
_STREAM_EVENTS = 5


async def caller(ledger: Ledger, logs: list[UUID], number: int, out: IO[bytes], end: float) -> None:
    """Append until the end: to streams of its own, and every fifth time to the contested one."""
    turn, contested = 0, 0
    while time.monotonic() < end:
        log, other = logs[(number + turn) % len(logs)], logs[(number + turn + 1) % len(logs)]
        own = uuid5(CONTESTED, f"{ledger.ids.uuid(ledger.clock.now_ms())}")
        for version in range(_STREAM_EVENTS):
            jti = ledger.entropy.bytes(16).hex()
            pending = [Pending(log, own, version, event(jti)), Pending(other, own, version, event(jti))]
            await stored(ledger, pending, jti, out)
        with contextlib.suppress(ConflictError):
            await stored(ledger, [Pending(logs[0], CONTESTED, contested, event("contested"))], "", out)
        contested += 1
        turn += 1


async def stored(ledger: Ledger, pending: list[Pending], jti: str, out: IO[bytes]) -> None:
    """Append, trying again while the database is away: the command's id makes that safe."""
    of_command = command(pending[0].log_id, jti) if jti else None
    while True:
        try:
            answer = await ledger.append_async(pending, command=of_command)
            break
        except UnavailableError:
            await asyncio.sleep(0.05)
    own = [one for one in answer.recorded if answer.log_id in {None, one.log_id}]
    lines = [
        b"%s %s %d %s\n" % (str(one.log_id).encode(), str(one.stream_id).encode(), one.version, acknowledged.to_bytes())
        for one, acknowledged in zip(own, answer.acknowledgements, strict=True)
    ]
    out.write(b"".join(lines))
    out.flush()


async def run(ledger: Ledger, logs: list[UUID], callers: int, out: IO[bytes], seconds: float) -> None:
    """Let all callers work."""
    end = time.monotonic() + seconds
    await asyncio.gather(*(caller(ledger, logs, number, out, end) for number in range(callers)))


def main(arguments: list[str]) -> None:
    """Open the ledger and run."""
    conninfo, keys, out, callers, seconds, *logs = arguments
    entropy = SystemEntropy()
    keyring = Keyring.open(Path(keys), entropy)
    with (
        Ledger(Database(conninfo), keyring, clock=SystemClock(), ids=SystemIds(), entropy=entropy) as ledger,
        Path(out).open("ab") as file,
    ):
        asyncio.run(run(ledger, [UUID(log) for log in logs], int(callers), file, float(seconds)))


if __name__ == "__main__":
    main(sys.argv[1:])
