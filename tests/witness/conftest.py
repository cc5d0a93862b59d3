"""A log that grows or forks, and a witness that is served on a free loopback port."""

import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from domain.transparency.note import Note, parse_note
from domain.transparency.proofs import consistency_proof
from infrastructure.clock import VirtualClock
from infrastructure.tlog.cosigning import Cosigner
from infrastructure.tlog.signing import LogSigner
from infrastructure.witness.key_file import load_key_file
from infrastructure.witness.records import Records
from infrastructure.witness.request import AddCheckpoint
from infrastructure.witness.serve import init_witness, witness_server
from infrastructure.witness.server import WitnessServer
from infrastructure.witness.witness import Witness

ORIGIN = "ledger.example/anchors"
NAME = "witness.example/w1"
AT = 1_700_000_000


class CountingEntropy:
    """Gives other bytes each time, the same in each run."""

    def __init__(self) -> None:
        self._given = 0

    def bytes(self, n: int) -> bytes:
        self._given += 1
        return self._given.to_bytes(n, "big")


@dataclass
class Log:
    """A log with a history: two with another letter share the leaves before it."""

    history: str = "a" * 400
    origin: str = ORIGIN
    signer: LogSigner = field(default_factory=lambda: LogSigner.from_seeds(ORIGIN, b"e" * 32, b"m" * 32))

    def leaves(self, size: int) -> list[bytes]:
        return [leaf_hash(f"{self.history[: index + 1]} {index}".encode()) for index in range(size)]

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.origin, size, Frontier.empty().extend(self.leaves(size)).root())

    def note(self, size: int) -> Note:
        return parse_note(self.signer.sign_checkpoint(self.checkpoint(size).to_text(), AT))

    def prove(self, old_size: int, new_size: int) -> Sequence[bytes]:
        return consistency_proof(self.leaves(new_size), old_size, new_size)

    def request(self, old_size: int, size: int) -> bytes:
        proof = tuple(self.prove(old_size, size)) if old_size < size else ()
        return AddCheckpoint(old_size, proof, self.note(size)).to_bytes()


@pytest.fixture(scope="session")
def log() -> Log:
    return Log()


@pytest.fixture(scope="session")
def forked() -> Log:
    """Return the log as somebody else is shown it: other leaves from index 4 on."""
    return Log("aaaa" + "b" * 400)


@pytest.fixture(scope="session")
def cosigner() -> Cosigner:
    return Cosigner.from_seeds(NAME, b"w" * 32, b"W" * 32)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(AT * 1000 + 999)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a new witness's directory."""
    path = tmp_path / "witness"
    init_witness(path, NAME, CountingEntropy())
    return path


@pytest.fixture
def opened(directory: Path, clock: VirtualClock, log: Log) -> Iterator[Callable[[], Witness]]:
    """Return a function that opens the witness (again), as a restart does."""
    with ExitStack() as stack:
        held: list[Records] = []

        def open_again() -> Witness:
            if held:
                held.pop().close()
            records = Records(directory)
            held.append(records)
            return Witness(load_key_file(directory), log.signer.verifier_keys(), records, clock)

        stack.callback(lambda: held.pop().close() if held else None)
        yield open_again


@pytest.fixture
def witness(opened: Callable[[], Witness]) -> Witness:
    return opened()


@contextmanager
def serving(directory: Path, log: Log, clock: VirtualClock) -> Iterator[WitnessServer]:
    with witness_server(directory, log_keys=log.signer.verifier_keys(), clock=clock) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(directory: Path, log: Log, clock: VirtualClock) -> Iterator[WitnessServer]:
    with serving(directory, log, clock) as running:
        yield running


@dataclass(frozen=True)
class Reply:
    status: int
    content_type: str | None
    body: bytes
    headers: dict[str, str]


Ask = Callable[..., Reply]


@pytest.fixture
def ask(server: WitnessServer) -> Ask:
    """Return a function that asks the running witness over HTTP."""

    def of(method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            found = Reply(response.status, response.getheader("Content-Type"), response.read(), dict(response.headers))
        finally:
            connection.close()
        return found

    return of
