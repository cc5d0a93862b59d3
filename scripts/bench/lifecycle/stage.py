"""A served ledger, as people start it: the service and one node, each a process, and who hands in beside them."""

import contextlib
import io
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import infrastructure
from domain.errors import UnavailableError
from domain.tenants.state import Tenant
from infrastructure.cli import main
from infrastructure.cli.session import ledger_at
from infrastructure.commands.loading import find_tenant
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Wallet
from infrastructure.ledger import Ledger

EXAMPLES = Path(infrastructure.__file__).parent / "demo" / "examples"
DAOS = ("ClimateDAO", "HealthDAO", "HarvestDAO", "FinanceDAO")
JURISDICTION = "DEU"
NODE = "one"
SLOTS = 64
_WAIT_S = 20


@dataclass(frozen=True, slots=True)
class Customer:
    """A tenant and who submits for it."""

    tenant: Tenant
    wallet: Wallet


@dataclass(frozen=True, slots=True)
class Stage:
    """The ledger, opened beside its service, and its tenants."""

    ledger: Ledger
    customers: tuple[Customer, ...]


@contextmanager
def open_stage(directory: Path | None) -> Iterator[Stage]:
    """Found a ledger below a directory (None: the temporary one), serve it, and let a node work for it.

    Raises:
        UnavailableError: when a process does not start.
    """
    with tempfile.TemporaryDirectory(prefix="enclave-ledger-bench-", dir=directory) as made:
        folder = Path(made)
        data_dir = folder / "data"
        run(folder, "init", "--data-dir", "data")
        with ledger_at(data_dir):  # the server is started once for all that follows
            found(folder)
        with (
            process(["serve", "--port", "0", "--data-dir", "data", "--json"], folder) as service,
            _node(url_of(service), folder),
            ledger_at(data_dir) as ledger,
        ):
            yield Stage(ledger, tuple(customer(ledger, folder, dao) for dao in DAOS))


def found(folder: Path) -> None:
    """Bring the tenants, a clause and a node into a ledger that was founded."""
    data = ("--data-dir", "data")
    for dao in DAOS:
        named = ("--dao", dao, "--jurisdiction", JURISDICTION)
        may = ("--clause", "UNDRR::Disaster::Flood", "--class", "Disaster::Flood@v1")
        run(folder, "key", "new", f"{dao}.json", "--name", dao)
        run(folder, "tenant", "register", *named, *may, "--key", f"{dao}.json", *data)
    registrant = ("--tenant", f"{DAOS[0]}/{JURISDICTION}", "--key", f"{DAOS[0]}.json")
    run(folder, "clause", "register", str(EXAMPLES / "flood.clause.json"), *registrant, *data)
    facts = ("--name", NODE, "--operator", "Nordrechner", "--country", JURISDICTION, "--slots", str(SLOTS))
    run(folder, "node", "enrol", *facts, "--memory-mib", "4096", "--key", "node.json", *data)


def customer(ledger: Ledger, folder: Path, dao: str) -> Customer:
    """Return a tenant and who submits for it."""
    return Customer(find_tenant(ledger, f"{dao}/{JURISDICTION}"), wallets.load(folder / f"{dao}.json"))


def run(folder: Path, *arguments: str) -> None:
    """Run a command, in this process.

    Raises:
        UnavailableError: when it fails.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([*arguments])
        except SystemExit as ended:
            if ended.code:
                raise UnavailableError(f"enclave-ledger {arguments[0]}: {err.getvalue().strip()[-300:]}") from None


@contextmanager
def process(arguments: Sequence[str], folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """Run a command that stands, for a time."""
    started = subprocess.Popen(
        _command(arguments), cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.communicate(timeout=_WAIT_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.communicate()


@contextmanager
def _node(url: str, folder: Path) -> "Iterator[subprocess.Popen[str]]":
    with process(["node", "run", "--server", url, "--key", "node.json", "--slots", str(SLOTS)], folder) as node:
        yield node


def url_of(service: "subprocess.Popen[str]") -> str:
    """Wait until a service is ready; return its URL.

    Raises:
        UnavailableError: when it did not start.
    """
    line = service.stdout.readline() if service.stdout is not None else ""
    if not line:
        raise UnavailableError("the service did not start")
    return str(json.loads(line)["url"])


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "infrastructure.cli", *arguments]
