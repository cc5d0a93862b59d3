"""What the parts of the pipeline do, each in a process of its own, until they are killed.

Invariants:
- Whatever a part was told it writes down before it goes on: acknowledgements, the bookmark of the feed, every text that
  is signed. Each is one write of whole lines, or a file that is renamed: a killed part leaves a torn last line at most.
- A part goes on when a database that was away is back (one that was away at its start is started again), and ends with
  an error at anything else.
"""

import asyncio
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from domain.errors import ConflictError, UnavailableError
from domain.message import Pending, Recorded
from domain.policies.kinds import Policy
from domain.transparency.checkpoint import Checkpoint
from infrastructure.anchors.publisher import AnchorPublisher
from infrastructure.anchors.running import keep_cadence
from infrastructure.anchors.witnesses import read_witnesses
from infrastructure.client import acts
from infrastructure.client.submission import InputSource, SubmissionFile
from infrastructure.clock import SystemClock
from infrastructure.commands.loading import load_tenant
from infrastructure.entropy import SystemEntropy
from infrastructure.feed.hub import Hub
from infrastructure.feed.subscriptions import Subscriptions
from infrastructure.ids import SystemIds
from infrastructure.keys import wallet as wallets
from infrastructure.ledger import Answer, Ledger, open_ledger
from infrastructure.projecting.rows import Row
from infrastructure.projecting.supervisor import Supervisor
from infrastructure.publish.publisher import Pace, Publisher
from infrastructure.tlog.signing import LogSigner
from infrastructure.witness.serve import serve
from tests.append.scene import command, event
from tests.commands.cell import BOUNDS, CLASS, FLOOD, FLOWS, THRESHOLD
from tests.projecting.histories import CHAIN, chain

ROUND_MS = 400
_PUBLISH_S = 0.3
_TASKS = 4
_BREATH_S = 0.02
_POLICIES = [Policy.model_validate_json(rules) for rules in ('{"rules":[]}', '{"rules":[{"kind":"in_country"}]}')]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pipeline lives: its folder, its database, the logs of the writers, those who govern, the witness's port.

    `members` are (log id, wallet's file). The folder holds `data` (the ledger's), `witness`, `logs.vkey`, and what the
    parts write down: `answers`, `acks`, `feed`, `signed`.
    """

    folder: str
    conninfo: str
    logs: tuple[str, ...]
    members: tuple[tuple[str, str], ...]
    port: int

    def path(self, name: str) -> Path:
        """Return a path in the folder."""
        return Path(self.folder) / name

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Place":
        """Read what `to_json` wrote."""
        known = json.loads(text)
        return cls(**known | {"logs": tuple(known["logs"]), "members": tuple(map(tuple, known["members"]))})

    def open(self) -> Ledger:
        """Open the ledger."""
        environ = {"LEDGER_DATABASE_URL": self.conninfo}
        clock, ids, entropy = SystemClock(), SystemIds(), SystemEntropy()
        return open_ledger(self.path("data"), environ, clock=clock, ids=ids, entropy=entropy)


def keep_answer(out: IO[bytes], lines: bytes) -> None:
    """Write down what was acknowledged."""
    out.write(lines)
    out.flush()


def fold(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
    """Fold an event into the chain."""
    return chain(rows, recorded)


def next_entry(entries: Any) -> Any:
    """Wait for the feed's next entry."""
    return next(entries)


def keep_bookmark(out: IO[bytes], line: bytes) -> None:
    """Write down what was read."""
    out.write(line)
    out.flush()


def writer(place: Place) -> None:
    """Append to the writers' logs, several tasks at once: each command to two logs, each event with its id."""

    async def task(ledger: Ledger, number: int, out: IO[bytes]) -> None:
        logs, turn = [UUID(log) for log in place.logs], number
        while True:
            turn += 1
            jti, stream = ledger.entropy.bytes(16).hex(), ledger.ids.uuid(ledger.clock.now_ms())
            pending = [
                Pending(logs[(turn + other) % len(logs)], stream, version, event(jti))
                for other in range(2)
                for version in range(1 + turn % 3)
            ]
            await _stored(ledger, pending, jti, out)
            await asyncio.sleep(_BREATH_S)

    async def tasks(ledger: Ledger, out: IO[bytes]) -> None:
        await asyncio.gather(*(task(ledger, number, out) for number in range(_TASKS)))

    with place.open() as ledger, place.path(f"answers.{os.getpid()}").open("ab") as out:
        asyncio.run(tasks(ledger, out))


async def _stored(ledger: Ledger, pending: list[Pending], jti: str, out: IO[bytes]) -> None:
    while True:
        try:
            answer = await ledger.append_async(pending, command=command(pending[0].log_id, jti))
            break
        except UnavailableError:
            await asyncio.sleep(_BREATH_S)
    own = [one for one in answer.recorded if one.log_id == answer.log_id]
    lines = [
        b"%s %s %d %s\n" % (str(one.log_id).encode(), str(one.stream_id).encode(), one.version, acknowledged.to_bytes())
        for one, acknowledged in zip(own, answer.acknowledgements, strict=True)
    ]
    keep_answer(out, b"".join(lines))


def governor(place: Place) -> None:
    """Let tenants govern themselves and submit: policies, and workloads with sealed inputs that wait."""
    acks = place.path("acks")

    def hear(answer: Answer) -> None:
        for one, acknowledged in zip(answer.recorded, answer.acknowledgements, strict=True):
            path = acks / f"{one.log_id}-{one.leaf_index}.writing"
            with path.open("wb") as out:
                keep_answer(out, acknowledged.to_bytes())
            path.rename(path.with_suffix(".ack"))

    with place.open() as ledger:
        ledger.on_answer = hear
        turn = 0
        while True:
            turn += 1
            for log, wallet in place.members:
                try:
                    _act(ledger, UUID(log), Path(wallet), turn)
                except (UnavailableError, ConflictError):
                    time.sleep(_BREATH_S)


def _act(ledger: Ledger, log: UUID, path: Path, turn: int) -> None:
    admin, tenant = wallets.load(path), load_tenant(ledger, log)
    if turn % 2:
        acts.adopt_policy(ledger, tenant, [admin], _POLICIES[turn % 4 // 2])
        return
    inputs = (FLOWS, THRESHOLD)
    content = SubmissionFile(
        clause_id=FLOOD, resource_class=CLASS, bounds=BOUNDS, inputs=tuple(InputSource(text="x") for _ in inputs)
    )
    acts.submit(ledger, tenant, admin, content, inputs)


def _note_what_is_signed(place: Place) -> None:
    """Write every text down before it is signed, for who looks for two roots of one size."""
    real = LogSigner.sign_checkpoint

    def sign(self: LogSigner, text: bytes, at_unix_s: int) -> bytes:
        tree = Checkpoint.parse(text)
        with place.path("signed").open("ab") as out:
            out.write(f"{tree.origin} {tree.size} {tree.root.hex()}\n".encode())
        return real(self, text, at_unix_s)

    LogSigner.sign_checkpoint = sign  # type: ignore[method-assign]


def publisher(place: Place) -> None:
    """Publish every log that changed, again and again."""
    _note_what_is_signed(place)
    with place.open() as ledger:
        Publisher(ledger).follow(Pace(_PUBLISH_S, 60), _only_absence, threading.Event().wait)


def anchors(place: Place) -> None:
    """Make rounds, and have them witnessed."""
    _note_what_is_signed(place)
    with place.open() as ledger:
        keep_cadence(AnchorPublisher(ledger, read_witnesses(place.path("data")), tell=_only_absence), ROUND_MS)


def _only_absence(line: str) -> None:
    """Take what is told beside the work: who is killed around us may be away, and nothing else may be wrong."""
    if "frozen" in line or "damaged" in line:
        raise AssertionError(line)


def witness(place: Place) -> None:
    """Serve a witness of the anchor log."""
    serve(place.path("witness"), log_keys_file=place.path("logs.vkey"), clock=SystemClock(), port=place.port)


def follower(place: Place) -> None:
    """Keep a projection that shows every event that it misses or counts twice."""
    troubles: list[str] = []
    with (
        place.open() as ledger,
        Hub(ledger.datastore) as hub,
        Supervisor(
            ledger,
            hub,
            {CHAIN: fold},
            trouble=lambda _, why: troubles.append(why),
        ),
    ):
        while hub.error is None:
            time.sleep(_BREATH_S)
        raise hub.error


def reader(place: Place) -> None:
    """Read the feed of all logs from the bookmark on, and write each entry down: position and leaf hash."""
    path = place.path("feed")
    with path.open("ab") as out:
        lines = path.read_bytes()
        whole = lines.rfind(b"\n") + 1
        out.truncate(whole)  # a torn line was never read
    after = int(lines[:whole].splitlines()[-1].split()[0]) if whole else 0
    with place.open() as ledger, Subscriptions(ledger) as feeds, path.open("ab") as out:
        entries = feeds.subscribe(feeds.sources.all_entries(), after=after)
        while True:
            entry = next_entry(entries)
            keep_bookmark(out, f"{entries.position} {entry.leaf_hash.hex()}\n".encode())


WORK = {
    "writer": writer, "governor": governor, "publisher": publisher, "anchors": anchors, "witness": witness,
    "follower": follower, "reader": reader,
}  # fmt: skip
"""The parts by name."""
