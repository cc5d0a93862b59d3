"""A log that somebody else's implementation wrote (Tessera, in Go) verifies at every size that it was signed at."""

import json
import shutil
from pathlib import Path

import pytest

from infrastructure.cli import main
from infrastructure.tlog.verify import verify_directory

LOG = Path(__file__).with_name("tessera")
KEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
"""As its authors publish it."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LOG, tmp_path / "log"))


@pytest.mark.parametrize("size", range(16))
def test_it_verifies_at_every_size(log: Path, size: int) -> None:
    (log / f"checkpoint.{size}").replace(log / "checkpoint")
    outcome = verify_directory(log, log_keys=[KEY])
    assert (outcome.ok, outcome.trust, outcome.first_error) == (True, "verified", None)
    assert (outcome.origin, outcome.size) == ("example.com/log/testdata", size)


def test_audit_verify_says_so(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["audit", "verify", str(log), "--log-key", KEY, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (caught.value.code, found["ok"], found["trust"], found["size"]) == (0, True, "verified", 15)
    with pytest.raises(SystemExit) as caught:
        main(["audit", "verify", str(log), "--json"])
    assert caught.value.code == 1
    assert "must be given from outside" in json.loads(capsys.readouterr().out)["first_error"]


@pytest.mark.parametrize("path", ["checkpoint", "tile/0/000.p/15", "tile/entries/000.p/15"])
def test_every_byte_that_its_checkpoint_rests_on_counts(log: Path, path: str) -> None:
    data = (log / path).read_bytes()
    for place in range(len(data)):
        (log / path).write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert path in str(verify_directory(log, log_keys=[KEY]).first_error), place
