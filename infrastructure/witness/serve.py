"""What `enclave-ledger witness init | keys | serve` do (c2sp.org/tlog-witness).

Invariants:
- A witness is made once; its directory holds its key, its memory and its evidence. Serving never makes what is missing.
- Nothing secret is reported: verifier keys, the address, and one line a request.
- It listens on loopback unless the operator names another address. TLS is a proxy's work; cosignatures need none.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import MalformedError, RefusedError, UnavailableError, UnknownError
from domain.transparency.note import VerifierKey
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.keys.private_files import make_private_directory
from infrastructure.witness.key_file import create_key_file, load_key_file
from infrastructure.witness.records import Records, create_records
from infrastructure.witness.server import Report, WitnessServer
from infrastructure.witness.witness import Witness

MAX_LOG_KEYS_BYTES = 8 << 20


def init_witness(directory: Path, name: str, entropy: Entropy) -> tuple[VerifierKey, ...]:
    """Make a new witness: its keys and its empty memory.

    Args:
        directory: made if missing (0700).
        name: key name; should be a URL without scheme that identifies the witness.
        entropy: where its seeds come from.

    Returns:
        Its verifier keys, Ed25519 first, to be put into policies.

    Raises:
        MalformedError: when the name is no key name.
        RefusedError: when the directory holds a witness already, or can't be written.
    """
    make_private_directory(directory)
    cosigner = create_key_file(directory, name, entropy)
    create_records(directory)  # a crash before this leaves a key without memory, which never serves
    return cosigner.verifier_keys()


def witness_keys(directory: Path) -> tuple[VerifierKey, ...]:
    """Return a witness's verifier keys, Ed25519 first.

    Raises:
        UnknownError: when the directory holds no witness.
        RefusedError: when its key can be read by others, or is damaged.
    """
    return load_key_file(directory).verifier_keys()


def read_log_keys(path: Path) -> tuple[VerifierKey, ...]:
    """Read the logs that a witness serves: one verifier key a line; empty lines and # lines don't count.

    The `log.vkey` files of bundles, one after the other, are such a file.

    Raises:
        UnknownError: when there is no such file.
        MalformedError: naming the line that is no verifier key, or when there is none at all.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LOG_KEYS_BYTES + 1)
    except OSError as error:
        raise UnknownError(f"cannot read the log keys in {path}: {error.strerror}") from None
    if len(data) > MAX_LOG_KEYS_BYTES:
        raise MalformedError(f"{path} is longer than {MAX_LOG_KEYS_BYTES} bytes")
    keys: list[VerifierKey] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line and not line.startswith(b"#"):
            try:
                keys.append(VerifierKey.parse(line.decode()))
            except (MalformedError, UnicodeDecodeError) as error:
                reason = error if isinstance(error, MalformedError) else "not valid UTF-8"
                raise MalformedError(f"{path}, line {number}: {reason}") from None
    if not keys:
        raise MalformedError(f"{path} holds no verifier key of a log")
    return tuple(keys)


@contextmanager
def witness_server(
    directory: Path,
    *,
    log_keys: tuple[VerifierKey, ...],
    clock: Clock,
    host: str = "127.0.0.1",
    port: int = 0,
    report: Report = lambda _: None,
) -> Iterator[WitnessServer]:
    """Open a witness and its listening socket; `serve_forever` on what is given answers.

    Args:
        directory: where `init_witness` made it.
        log_keys: the logs that it serves.
        clock: tells the time of cosignatures.
        host: address to listen on.
        port: 0 for a free one.
        report: gets one line a request.

    Raises:
        RefusedError: when the directory is not a whole witness, or another process serves it.
        NotAuthorisedError: when it shares a key with a log.
        UnavailableError: when the address can't be had, or a record can't be read.
    """
    cosigner = load_key_file(directory)
    records = Records(directory)
    try:
        witness = Witness(cosigner, log_keys, records, clock)
        try:
            server = WitnessServer(witness, host=host, port=port, report=report)
        except (OSError, OverflowError) as error:
            raise UnavailableError(f"cannot listen on {host} port {port}: {error}") from None
        with server:
            yield server
    finally:
        records.close()


def serve(
    directory: Path,
    *,
    log_keys_file: Path,
    clock: Clock,
    host: str = "127.0.0.1",
    port: int = 7380,
    report: Report = lambda _: None,
    ready: Callable[[str, int], None] = lambda _host, _port: None,
) -> None:
    """Serve until interrupted. Killing it at any point is safe.

    Args:
        directory: where `init_witness` made the witness.
        log_keys_file: see `read_log_keys`.
        clock: tells the time of cosignatures.
        host: address to listen on.
        port: 0 for a free one.
        report: gets one line a request.
        ready: called with the address once it listens.

    Raises:
        LedgerError: as `read_log_keys` and `witness_server`.
    """
    keys = read_log_keys(log_keys_file)
    if not directory.is_dir():
        raise RefusedError(f"there is no witness in {directory}; make one with: witness init")
    with witness_server(directory, log_keys=keys, clock=clock, host=host, port=port, report=report) as server:
        ready(host, server.server_port)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            report("stopped")
