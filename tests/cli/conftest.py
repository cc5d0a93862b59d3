"""Installations for the tests of the command line: a founded one that a module shares, run as processes."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from infrastructure.cli import main
from tests.database import TestServer, postgres

__all__ = ["postgres"]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "infrastructure/demo/examples"
BIN = Path(sys.executable).parent
TENANT = "ClimateDAO/DEU"


@dataclass
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Return the one object on the last line of stdout."""
        value = json.loads(self.out.rstrip("\n").rpartition("\n")[2])
        assert isinstance(value, dict)
        return value


@dataclass
class Installation:
    """A folder, a data directory in it, and everything that commands have said."""

    folder: Path
    environ: dict[str, str]
    said: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """Return the data directory."""
        return self.folder / "data"

    def start(self, *arguments: str | Path, cwd: Path | None = None) -> "subprocess.Popen[str]":
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "infrastructure.cli", *map(str, arguments)], text=True, cwd=cwd or self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=self.environment(),
        )  # fmt: skip

    def run(self, *arguments: str | Path, cwd: Path | None = None, code: int = 0) -> Ended:
        """Run a command in the data directory and check its exit code; no traceback, whatever happened."""
        return self.end(self.start(*arguments, "--data-dir", self.data, cwd=cwd), code)

    def end(self, process: "subprocess.Popen[str]", code: int = 0) -> Ended:
        """Wait for a command."""
        out, err = process.communicate(timeout=100)
        self.said += [out, err]
        assert "Traceback" not in out + err
        assert "internal fault" not in err, err
        assert process.returncode == code, (process.args, out, err)
        return Ended(process.returncode, out, err)

    def inside(self, *arguments: str | Path) -> Ended:
        """Run a command in the data directory without a process of its own: where there are many, and none waits."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.folder), mock.patch.dict(os.environ, self.environment(), clear=True),
            contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as caught,
        ):  # fmt: skip
            main([*map(str, arguments), "--data-dir", str(self.data)])
        self.said += [out.getvalue(), err.getvalue()]
        assert "internal fault" not in err.getvalue(), err.getvalue()
        return Ended(int(caught.value.code or 0), out.getvalue(), err.getvalue())

    def done(self, *arguments: str | Path) -> Ended:
        """Run a command that must succeed, without a process of its own."""
        ended = self.inside(*arguments)
        assert ended.code == 0, (arguments, ended)
        return ended

    def refused(self, *arguments: str | Path, says: str = "") -> None:
        """Run a command that must be refused with one clear line."""
        ended = self.inside(*arguments)
        assert (ended.code, ended.out) == (1, ""), (arguments, ended)
        lines = ended.err.splitlines()
        assert len(lines) == 1, ended.err
        assert lines[0].startswith("enclave-ledger: ")
        assert says in lines[0], lines[0]

    def sizes(self) -> dict[str, int]:
        """Return the size of every log."""
        tenants = self.inside("tenant", "list", "--json").json["tenants"]
        names = ["platform", "root", *(row["tenant"] for row in tenants)]
        return {name: self.inside("audit", "replay", "--tenant", name, "--json").json["size"] for name in names}

    def environment(self) -> dict[str, str]:
        """Return the environment of its commands."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
        return {**kept, **self.environ, "PYTHONPATH": str(ROOT), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def first_steps(ledger: Installation) -> None:
    """Found a cell with a tenant, a clause and a node."""
    ledger.done("init")
    ledger.done("key", "new", "alice.json", "--name", "alice")
    ledger.done(
        "tenant", "register", "--dao", "ClimateDAO", "--jurisdiction", "deu", "--clause", "UNDRR::Disaster::Flood",
        "--class", "Disaster::Flood@v1", "--key", "alice.json",
    )  # fmt: skip
    ledger.done("clause", "register", EXAMPLES / "flood.clause.json", "--tenant", TENANT, "--key", "alice.json")
    ledger.done(
        "node", "enrol", "--name", "berlin-1", "--operator", "Nordrechner", "--country", "deu", "--key", "node.json"
    )


@pytest.fixture(scope="module")
def ledger(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A founded installation in a path with a space."""
    with postgres.database() as name:
        folder = tmp_path_factory.mktemp("some where") / "a folder"
        folder.mkdir()
        made = Installation(folder, {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        first_steps(made)
        yield made
