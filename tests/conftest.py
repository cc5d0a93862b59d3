"""What every test may use."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from infrastructure.audit import verify
from infrastructure.tlog.second_opinion import with_second_opinion
from infrastructure.tlog.verdict import Verification
from infrastructure.tlog.verify import verify_directory

# The same examples in every run: a gate that fails at random says nothing about a change. The soak explores.
settings.register_profile(
    "default",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=60,
)
settings.register_profile(
    "soak", database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=20_000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

ROOT = Path(__file__).resolve().parent.parent

# A shell that starts us in the background lets us ignore interrupts, and whatever we start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """Let an interrupt interrupt each test: commands that ran in this process before took it for their own end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Return the folder of vectors from elsewhere; skip where a clone on its own has none."""
    path = Path(os.environ.get("LEDGER_VECTORS", ROOT.parent / "shared" / "vectors"))
    if not path.is_dir():
        pytest.skip(f"no vectors at {path}; set LEDGER_VECTORS to their folder")
    return path


@pytest.fixture(autouse=True, scope="session")
def merkletools_is_asked() -> None:
    """Let merkletools look at every bundle that a test verifies in this process: where it disagrees, none verifies."""

    def asked(path: Path, **how: Any) -> Verification:
        verdict = verify_directory(path, **how)
        second = with_second_opinion(path, verdict)
        return verdict if second.ok else second

    verify.__dict__["verify_directory"] = asked
