"""One command's ledger: opened for its time, with the machine's clock and generator."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from domain.errors import RefusedError, UnknownError
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.keys import wallet as wallets
from infrastructure.keys.memory import forbid_dumps
from infrastructure.keys.wallet import Wallet
from infrastructure.ledger import Ledger, open_ledger
from infrastructure.pauses import shorten_pauses

ROOT_KEY = "root.key.json"


@contextmanager
def ledger_at(data_dir: Path, *, create: bool = False, thawing: bool = False) -> Iterator[Ledger]:
    """Open the ledger of a data directory for one command.

    Raises:
        RefusedError: when there is none and it may not be made.
    """
    if not create and not (data_dir / "keys").is_dir():
        raise RefusedError(f"there is no ledger in {data_dir}; run `enclave-ledger init --data-dir {data_dir}` first")
    forbid_dumps()  # from here on this process holds keys
    clock, ids, entropy = SystemClock(), SystemIds(), SystemEntropy()
    with open_ledger(data_dir, os.environ, clock=clock, ids=ids, entropy=entropy, thawing=thawing) as ledger:
        shorten_pauses()
        yield ledger


def load_wallets(paths: Sequence[Path]) -> list[Wallet]:
    """Load the wallets that act.

    Raises:
        RefusedError: when none is named.
    """
    if not paths:
        raise RefusedError("name the acting wallet with --key FILE (`enclave-ledger key new FILE` makes one)")
    return [_wallet(path) for path in paths]


def _wallet(path: Path) -> Wallet:
    try:
        return wallets.load(path)
    except UnknownError as error:
        raise UnknownError(f"{error}; `enclave-ledger key new {path} --name NAME` makes a wallet") from None


def root_wallets(data_dir: Path, paths: Sequence[Path]) -> list[Wallet]:
    """Load the root scope's wallets: those named, or the one that `init` made in the data directory."""
    own = data_dir / ROOT_KEY
    if not paths and not own.is_file():
        raise RefusedError("name the root scope's wallet with --root-key FILE")
    return load_wallets(list(paths) or [own])
