"""Commands of a witness: init, keys, serve."""

from pathlib import Path

from infrastructure.cli.output import result, say
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.witness import serve


def init(directory: Path, name: str, *, as_json: bool) -> None:
    """Make a witness."""
    found = [str(key) for key in serve.init_witness(directory, name, SystemEntropy())]
    result({"name": name, "keys": found}, as_json=as_json, lines=[f"witness {name} in {directory}", *found])


def keys(directory: Path, *, as_json: bool) -> None:
    """Show its verifier keys."""
    found = [str(key) for key in serve.witness_keys(directory)]
    result({"keys": found}, as_json=as_json, lines=found)


def serve_until_interrupted(directory: Path, log_keys: Path, host: str, port: int, *, as_json: bool) -> None:
    """Serve; the address is the result, told as soon as it listens."""

    def ready(address: str, listening: int) -> None:
        url = f"http://{address}:{listening}"
        result({"url": url}, as_json=as_json, lines=[f"witness listens on {url}"])

    serve.serve(directory, log_keys_file=log_keys, clock=SystemClock(), host=host, port=port, report=say, ready=ready)
