"""A served ledger with a tenant in its own custody, and that one's releaser as a process of its own."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infrastructure.cli.session import ROOT_KEY, ledger_at
from infrastructure.client import acts
from infrastructure.client.submission import read_submission_file
from infrastructure.commands.loading import find_tenant
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose
from tests.api.service import Service
from tests.cli.conftest import EXAMPLES, Installation, first_steps
from tests.database import TestServer

OWN = "RiverDAO/DEU"


def with_own_custody(ledger: Installation, name: str = "river", dao: str = "RiverDAO") -> None:
    """Register a tenant that holds its keys itself; its admin's wallet is its releaser's too."""
    ledger.done("key", "new", f"{name}.json", "--name", name, "--custody")
    ledger.done(
        "tenant", "register", "--dao", dao, "--jurisdiction", "deu", "--clause", "UNDRR::Disaster::Flood",
        "--class", "Disaster::Flood@v1", "--key", f"{name}.json", "--custody", "tenant",
    )  # fmt: skip


@contextmanager
def served_own(postgres: TestServer, folder: Path) -> Iterator[Service]:
    """Serve a ledger with one tenant of either custody, and two nodes enrolled."""
    with postgres.database() as name:
        made = Installation(folder, {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        first_steps(made)
        with_own_custody(made)
        with_own_custody(made, "lake", "LakeDAO")
        service = Service(made)
        try:
            yield service.start()
        finally:
            service.close()


def root_issued(ledger: Installation) -> tuple[str, str]:
    """Return what names the installation's root as the issuer of node credentials."""
    return "--node-issuer", wallets.load(ledger.data / ROOT_KEY).did(Purpose.CREDENTIAL)


def submission(ledger: Installation, *texts: str) -> Path:
    """Write a submission of texts."""
    content = json.loads((EXAMPLES / "flood.submission.json").read_text())
    for given, text in zip(content["inputs"], texts, strict=False):
        given.clear()
        given["text"] = text
    for given in content["inputs"]:
        if "file" in given:
            given["file"] = str((EXAMPLES / given["file"]).resolve())
    path = ledger.folder / "own.submission.json"
    path.write_text(json.dumps(content))
    return path


def hand_in(service: Service, *texts: str, key: str = "river.json", tenant: str = OWN) -> str:
    """Hand a workload in, beside the served process; return its id."""
    content, inputs = read_submission_file(submission(service.ledger, *texts))
    before = dict(os.environ)
    os.environ.update(service.ledger.environ)
    try:
        with ledger_at(service.ledger.data) as opened:
            return acts.submit(opened, find_tenant(opened, tenant), service.wallet(key), content, inputs).workload
    finally:
        os.environ.clear()
        os.environ.update(before)


def releaser(service: Service, *more: str, key: str = "river.json", tenant: str = OWN) -> "subprocess.Popen[str]":
    """Start a releaser over HTTP."""
    named = ("release", "run", "--tenant", tenant, "--key", key, "--server", service.url, "--json")
    started = service.ledger.start(*named, *root_issued(service.ledger), *more)
    service.nodes.append(started)  # killed and closed with them, whatever the test meets
    return started
