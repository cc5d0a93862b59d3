"""Bundles that are made once and copied where a test alters them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.signing import LogSigner

ORIGIN = "ledger.example/t/5"
AT = 1_700_000_000


def entry(index: int) -> bytes:
    return b"entry %d " % index + b"." * (index % 50)


@pytest.fixture(scope="session")
def signer() -> LogSigner:
    return LogSigner.from_seeds(ORIGIN, b"e" * 32, b"m" * 32)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, signer: LogSigner) -> Callable[[int], Path]:
    """Return a function that gives the bundle of a size; nobody alters it."""
    made: dict[int, Path] = {}

    def of(size: int) -> Path:
        if size not in made:
            made[size] = tmp_path_factory.mktemp("bundles") / str(size)
            write_bundle(
                map(entry, range(size)),
                size=size,
                signer=signer,
                at_unix_s=AT,
                out=made[size],
                extra={"keys.json": b'{"streams":{}}', "extra/1.note": b"a note\n", "empty": b""}.items(),
            )
        return made[size]

    return of


@pytest.fixture
def bundle(original: Callable[[int], Path], tmp_path: Path) -> Callable[[int], Path]:
    """Return a function that gives a copy of the bundle of a size, to be altered."""

    def of(size: int) -> Path:
        return Path(shutil.copytree(original(size), tmp_path / f"copy of {size}"))

    return of
