"""What an operator does in the data directory before it serves: cell, tenants, the reserve's offer, machines.

And what people are told of the logs outside the service. All else of the story goes over HTTP.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from domain.policies.facts import NodeFacts
from domain.time import DAY_MS, SECOND_MS
from domain.transparency.tlog_policy import TlogPolicy
from infrastructure.anchors.trust import log_trust, trust_policy, write_trust
from infrastructure.attestation.attesting import SyntheticAttester, own_machine
from infrastructure.attestation.synthetic.platform import DIRECTORY
from infrastructure.client import acts, offers
from infrastructure.commands.evidence import trust_roots
from infrastructure.commands.loading import find_log
from infrastructure.commands.tenants import OwnCustody
from infrastructure.credentials.node import NodeSubject, issue_node
from infrastructure.demo.cast import (
    HARVEST,
    HOST,
    LEVELS,
    MACHINES,
    MEMBERS,
    NILE,
    OCEAN,
    RELIEF,
    ROOT,
    ROOT_FILE,
    RSA_BITS,
    Member,
    classes,
    families,
)
from infrastructure.demo.served.people import PLATFORM, SCOPE, Believed
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Ledger

CUSTODIANS: Final = (NILE, OCEAN)
"""Tenants that keep their inputs themselves. Until their releaser runs their executions wait, and hold their places."""
BRIEF_MS: Final = SECOND_MS
"""Life of HarvestPlan's first credential: it has ended before anybody asks."""
LOGS: Final = (*(member.name for member in MEMBERS), SCOPE, PLATFORM)


@dataclass
class Founded:
    """A cell that was founded: its wallets, the machines of its nodes, what is known of its logs outside the service.

    Args:
        folder: the data directory.
        ledger: opened there, while it is founded.
    """

    folder: Path
    ledger: Ledger
    wallets: dict[str, Wallet] = field(default_factory=dict)
    machines: dict[str, SyntheticAttester] = field(default_factory=dict)
    believed: dict[str, Believed] = field(default_factory=dict)

    def wallet(self, name: str, *, custody: bool = False) -> Wallet:
        """Return a person's or node's wallet, drawn and written when first asked for."""
        if name not in self.wallets:
            path = self.path(name)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self.wallets[name] = wallets.create(path, name, self.ledger.entropy, custody=custody)
        return self.wallets[name]

    def path(self, name: str) -> Path:
        """Return where a wallet lies."""
        return self.folder / (ROOT_FILE if name == ROOT else f"wallets/{name}.json")

    def begin(self, people: tuple[str, ...], nodes: tuple[NodeFacts, ...]) -> None:
        """Write the genesis, register the tenants, make the nodes' machines, let the reserve's operator offer it."""
        ledger, root = self.ledger, self.wallet(ROOT)
        acts.begin_cell(ledger, HOST, [root], 1)
        acts.adopt_levels(ledger, [root], LEVELS)
        for member in MEMBERS:
            self._register(member)
        for name in people:
            self.wallet(name)
        for facts in nodes:
            self._machine(facts)
        offers.stand(
            ledger, [root], self.wallet(RELIEF.operator), pool=RELIEF.pool, operator=RELIEF.operator,
            until_ms=ledger.clock.now_ms() + DAY_MS, slots=RELIEF.slots,
        )  # fmt: skip

    def tell(self, witnesses: TlogPolicy) -> None:
        """Write what the people of each log know of it, whatever the service says."""
        for name in LOGS:
            log = self.ledger.platform() if name == PLATFORM else find_log(self.ledger, name)
            path = self.folder / "trust" / f"{name.replace('/', '-')}.policy"
            write_trust(path, trust_policy(self.ledger, witnesses, log), log_trust(self.ledger, log))
            self.believed[name] = Believed(str(log.log_id), log.origin, path)

    def node_files(self, facts: NodeFacts) -> tuple[Path, Path]:
        """Write what a node's operator brings to it: its credential, and its machine; return their paths."""
        wallet, issuer = self.wallets[facts.node], self.wallets[ROOT]
        now_ms = self.ledger.clock.now_ms()
        shown = self.machines[facts.node].describe()
        subject = NodeSubject(
            id=wallet.did(Purpose.REPORT),
            operator=facts.operator,
            country_of_operation=facts.country,
            vendor=facts.vendor,
            platform_ids=() if shown.platform_id is None else (shown.platform_id,),
            attributes=facts.attributes,
            admits=facts.admits,
        )
        credential = issue_node(
            subject, issuer.key(Purpose.CREDENTIAL), valid_from_ms=now_ms, valid_until_ms=now_ms + DAY_MS,
            created_ms=now_ms,
        )  # fmt: skip
        folder = self.folder / "nodes-at-work" / facts.node
        folder.mkdir(mode=0o700, parents=True)
        shutil.copytree(self.folder / DIRECTORY, folder / DIRECTORY)
        (folder / "credential.json").write_text(json.dumps(credential))
        return folder / "credential.json", folder

    def admin(self, member: Member) -> Wallet:
        """Return the wallet of a tenant's admin."""
        return self.wallet(f"{member.dao}-admin", custody=member in CUSTODIANS)

    def _register(self, member: Member) -> None:
        admin = self.admin(member)
        held = admin.custody() if member in CUSTODIANS else None
        acts.register_tenant(
            self.ledger,
            dao=member.dao,
            jurisdiction=member.jurisdiction,
            admins=[admin],
            root_admins=[self.wallet(ROOT)],
            families=families(member),
            resource_classes=classes(member),
            valid_ms=BRIEF_MS if member is HARVEST else DAY_MS,
            custody=None if held is None else OwnCustody(held.release.public, held.output.public),
        )

    def _machine(self, facts: NodeFacts) -> None:
        self.wallet(facts.node)
        kind, now_ms = MACHINES[facts.vendor], self.ledger.clock.now_ms
        machine = own_machine(self.folder, kind, facts.node, now_ms, bits=RSA_BITS)
        trust_roots(self.folder, machine.root_pem)
        self.machines[facts.node] = machine
