"""One cell with CACs of every kind, exported in each form, and bundles of their log; tests only read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from domain.cacs.events import CacIssued
from domain.time import SECOND_MS
from infrastructure.audit.export import export_bundle, log_signer
from infrastructure.audit.verify import verify_bundle
from infrastructure.cacs.export import export_cac
from infrastructure.cacs.presented import Form
from infrastructure.cacs.verify import Bundle
from tests.commands.cell import Cell, Member, founded
from tests.commands.driver import Driver
from tests.database import TestServer, postgres

__all__ = ["postgres"]

FORMS: tuple[Form, ...] = ("json", "vc", "scitt")
QUORUM = {"kind": "independent_attestations", "count": 2}


@dataclass
class Scene:
    """A cell, a tenant with CACs, and its bundles: `all` keys, `sealed`, and `parts` without the key of one CAC.

    `real` came from a real keep, `driver` holds the enclave keys of another execution, and so knows how to lie.
    """

    cell: Cell
    member: Member
    other: Member
    folder: Path
    driver: Driver
    real: dict[str, Any]
    own: dict[str, Any]
    agreed: list[dict[str, Any]]
    diverged: list[dict[str, Any]]
    rejected: dict[str, Any]
    instants: dict[str, int]
    forms: dict[Form, bytes] = field(default_factory=dict)

    @property
    def vkey(self) -> str:
        """Return the log's Ed25519 verifier key, as the tenant would give it to an auditor."""
        return str(log_signer(self.cell.ledger, self.member.log_id).verifier_keys()[0])

    @property
    def tenant_key(self) -> bytes:
        """Return the tenant's attestation key."""
        return bytes.fromhex(self.member.tenant.attestation_key)

    def bundle(self, name: str = "all", *log_keys: str) -> Bundle:
        """Return a bundle by the name under which `exported` made it."""
        directory = self.folder / name
        return Bundle(directory, lambda: verify_bundle(directory, log_keys=log_keys))

    def exported(self, name: str, with_keys: str | None, member: Member | None = None) -> Bundle:
        """Export a log now."""
        log_id = (member or self.member).log_id
        export_bundle(self.cell.ledger, log_id, self.folder / name, with_keys=with_keys)
        return self.bundle(name)


def _driven(cell: Cell, execution: str, *, output: bytes = b"{}") -> Driver:
    node = Driver(cell, execution)
    node.evidence()
    node.started()
    node.completed(output=output)
    cell.advance(SECOND_MS)
    node.reset()
    return node


def _documents(cell: Cell, member: Member) -> list[dict[str, Any]]:
    return [event.document for event in cell.events(member, CacIssued)]


def _rejected(cell: Cell, member: Member) -> dict[str, Any]:
    """Return the CAC of an enclave whose node the policy forbids by the time of the gate."""
    (execution,) = cell.place(member)
    node = Driver(cell, execution)
    node.evidence()
    node.started()
    document = node.signed(node.document())
    node.completed(document)
    member.adopt({"kind": "operators", "forbidden": ["OpA", "OpB", "OpC"]})
    node.reset()
    return document


@pytest.fixture(scope="session")
def scene(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The cell with its CACs."""
    with postgres.database() as name:
        cell = founded(tmp_path_factory.mktemp("cell"), postgres.conninfo(name))
        member, other = cell.join("ClimateDAO"), cell.join("OtherDAO")
        cell.run(*cell.place(member))
        began = cell.clock.now_ms()
        cell.advance(SECOND_MS)
        driver = _driven(cell, *cell.place(member))
        member.adopt(QUORUM)
        instants = {"before": began, "done": cell.clock.now_ms()}
        for execution in cell.place(member):
            cell.run(execution)
            instants.setdefault("half", cell.clock.now_ms())
            cell.advance(SECOND_MS)
        for execution, output in zip(cell.place(member), (b"{}", b'{"other":1}'), strict=True):
            _driven(cell, execution, output=output)
        member.adopt()
        rejected = _rejected(cell, member)
        member.adopt()
        cell.run(*cell.place(other))
        real, own, one, two, three, four = _documents(cell, member)
        folder = tmp_path_factory.mktemp("bundles")
        made = Scene(cell, member, other, folder, driver, real, own, [one, two], [three, four], rejected, instants)
        for form in FORMS:
            made.forms[form] = export_cac(cell.ledger, real["cac_id"], form)
        made.exported("all", "all")
        made.exported("sealed", None)
        made.exported("parts", f"{member.log_id},{own['workload']},{own['execution_id']}")
        made.exported("workload", f"{own['workload']}")
        made.exported("another", "all", other)
        yield made
        cell.close()
