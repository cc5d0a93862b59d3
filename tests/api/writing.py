"""A served ledger that tests write to, and what they write."""

import asyncio
import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from infrastructure.client.async_remote import AsyncRemote
from infrastructure.client.profile import Profile
from infrastructure.client.remote import Remote
from infrastructure.client.submission import Submission, build_submission, read_submission_file
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.keys.wallet import Purpose
from tests.api.people import people
from tests.api.service import Service
from tests.cli.conftest import EXAMPLES, TENANT, Installation, first_steps
from tests.database import TestServer

FLOOD = EXAMPLES / "flood.submission.json"


@contextmanager
def written(postgres: TestServer, folder: Path) -> Iterator[Service]:
    """Serve a ledger with people of every role; what its clients remember lies in its folder."""
    with postgres.database() as name:
        homes = {"XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
        made = Installation(folder, {"LEDGER_DATABASE_URL": postgres.conninfo(name), **homes})
        first_steps(made)
        people(made)
        service = Service(made)
        try:
            yield service.start()
        finally:
            service.close()


def remote(service: Service, wallet: str = "alice.json", tenant: str = TENANT) -> Remote:
    """Return a client of the served ledger."""
    profile = Profile(service.url, tenant=tenant, state=service.ledger.folder / "state/enclave-ledger")
    return Remote(profile, service.wallet(wallet), clock=SystemClock(), entropy=SystemEntropy(), ids=SystemIds())


class Awaited:
    """An asynchronous client that tests ask as they ask the blocking one."""

    def __init__(self, made: AsyncRemote) -> None:
        self._runner = asyncio.Runner()
        self._made = made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._made.__aexit__())
        self._runner.close()

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._made, name)
        return lambda *given, **more: self._runner.run(asked(*given, **more))


def either(service: Service, kind: str, wallet: str = "alice.json", tenant: str = TENANT) -> Any:
    """Return a client of the served ledger: `blocking` or `asynchronous`."""
    if kind == "blocking":
        return remote(service, wallet, tenant)
    profile = Profile(service.url, tenant=tenant, state=service.ledger.folder / "state/enclave-ledger")
    whom = service.wallet(wallet)
    return Awaited(AsyncRemote(profile, whom, clock=SystemClock(), entropy=SystemEntropy(), ids=SystemIds()))


def built(service: Service, wallet: str = "alice.json", tenant: str = TENANT) -> Submission:
    """Return a good submission that nobody has handed in yet."""
    content, inputs = read_submission_file(FLOOD)
    now_ms = SystemClock().now_ms()
    with remote(service, wallet, tenant) as asked:
        row = asked.own()
    return build_submission(
        content, inputs, wallet=service.wallet(wallet), workload=SystemIds().uuid(now_ms), origin=row["origin"],
        release_key=row["release_key"], now_ms=now_ms, entropy=SystemEntropy(),
    )  # fmt: skip


def body(made: Submission) -> dict[str, Any]:
    """Return the body that hands a submission in."""
    return {"submission": made.token, "inputs": [base64.b64encode(one).decode() for one in made.ciphertexts]}


def sam(service: Service) -> str:
    """Return a token of the tenant's submitter."""
    return service.token_of("alice.json", TENANT, Purpose.SUBMISSION)
