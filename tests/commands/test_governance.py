"""Founding, registering, enrolling: by whom, of what form, once; and nothing half there after a refusal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.canonical import canonical
from domain.clauses.decisions import registration_claims
from domain.clauses.events import ClauseMetadata
from domain.errors import ConflictError, LedgerError, MalformedError, NotAuthorisedError, RefusedError
from domain.hashing import sha256_hex
from domain.identifiers import clause_stream
from domain.policies.facts import NodeFacts
from domain.policies.kinds import Policy, parse_policy
from domain.statements import ENDORSEMENT, GOVERNANCE
from domain.tenants.decisions import acceptance_claims, endorsement_claims, enrolment_claims
from domain.tenants.events import TenantRegistered
from domain.tenants.state import evolve as evolve_tenant
from infrastructure.client import acts
from infrastructure.client.signing import admin_key, signed_by
from infrastructure.clock import VirtualClock
from infrastructure.commands import clauses, genesis, nodes, tenants
from infrastructure.commands.clauses import read_metadata
from infrastructure.commands.loading import find_log, load_clause, load_genesis
from infrastructure.commands.tenants import Enrolment, prepare_tenant
from infrastructure.credentials.executor import ExecutorSubject, issue_executor
from infrastructure.credentials.node import NodeSubject, issue_node
from infrastructure.ids import SeededIds
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Ledger, open_ledger
from infrastructure.statements.payload import payload
from tests.commands.cell import CLASS, ENTROPY, MAXIMUM, NOW, Cell, MakeCell, clause_module
from tests.database import TestServer


def said(cell: Cell, iss: str, aud: str, claims: dict[str, Any]) -> dict[str, Any]:
    """Return a payload."""
    return payload(iss=iss, aud=aud, claims=claims, now_ms=cell.clock.now_ms(), entropy=ENTROPY)


# Genesis


def test_before_the_genesis_nothing_is_accepted(postgres: TestServer, tmp_path: Path) -> None:
    with postgres.database() as name:
        cell = Cell(tmp_path, postgres.conninfo(name))
        attempts: list[Callable[[], object]] = [
            lambda: cell.join("ClimateDAO"),
            lambda: cell.enrol("alpha"),
            lambda: acts.adopt_levels(cell.ledger, [cell.root], ["Disaster"]),
            lambda: find_log(cell.ledger, "platform"),
        ]
        for attempt in attempts:
            with pytest.raises(RefusedError, match="genesis"):
                attempt()
        assert cell.sizes() == {}
        cell.found()
        cell.close()


def test_there_is_one_genesis(cell: Cell) -> None:
    with cell.nothing_written(), pytest.raises(ConflictError, match="genesis already"):
        acts.begin_cell(cell.ledger, "other.example", [cell.root], 1)


def test_a_genesis_that_stopped_half_way_is_finished_and_keeps_to_its_host(
    postgres: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.database() as name:
        cell = Cell(tmp_path, postgres.conninfo(name))
        with pytest.raises(RefusedError, match="threshold"):
            acts.begin_cell(cell.ledger, "first.example", [cell.root], 2)
        assert set(cell.sizes().values()) <= {0}
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "append", lambda *_, **__: (_ for _ in ()).throw(LedgerError("power cut")))
            with pytest.raises(LedgerError, match="power cut"):
                acts.begin_cell(cell.ledger, "ledger.example", [cell.root], 1)
        with pytest.raises(ConflictError, match=r"ledger\.example"):
            acts.begin_cell(cell.ledger, "second.example", [cell.root], 1)
        acts.begin_cell(cell.ledger, "ledger.example", [cell.root], 1)
        assert load_genesis(cell.ledger).host == "ledger.example"
        assert len(cell.ledger.logs()) == 2
        cell.close()


def test_levels_are_adopted_by_the_roots_admins_only(cell: Cell) -> None:
    stranger = cell.wallet("stranger")
    member = cell.join()
    for wallet in (stranger, member.admins[0]):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            acts.adopt_levels(cell.ledger, [wallet], ["Finance"])
    platform, root = cell.ledger.platform(), acts.root_scope(cell.ledger)
    old = signed_by(
        [cell.root], GOVERNANCE, said(cell, root.did, platform.origin, genesis.levels_claims(1, ["Finance"]))
    )
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="version"):
        genesis.adopt_levels(cell.ledger, root, ["Finance"], old)


# Tenants


@pytest.mark.parametrize(
    ("dao", "jurisdiction"),
    [
        ("", "DEU"), ("1st", "DEU"), ("a b", "DEU"), ("a/b", "DEU"), ("D" * 65, "DEU"), ("D\u00e4o", "DEU"),
        ("Dao", ""), ("Dao", "DE"), ("Dao", "XXX"), ("Dao", "EU/DEU"), ("Dao", "de\u00df"),
    ],
)  # fmt: skip
def test_a_malformed_tenant_is_refused_before_anything_is_made(cell: Cell, dao: str, jurisdiction: str) -> None:
    wallet, logs = cell.wallet("somebody"), len(cell.ledger.logs())
    with cell.nothing_written(), pytest.raises(MalformedError):
        acts.register_tenant(
            cell.ledger, dao=dao, jurisdiction=jurisdiction, admins=[wallet], root_admins=[cell.root],
            families=["UNDRR::Disaster::Flood"], resource_classes=[CLASS],
        )  # fmt: skip
    assert len(cell.ledger.logs()) == logs


def test_a_person_or_node_whose_name_is_no_word_is_a_clear_refusal(cell: Cell) -> None:
    logs = len(cell.ledger.logs())
    with cell.nothing_written(), pytest.raises(MalformedError, match="name"):
        cell.join("Dao1", persons=["Alice B"])
    with cell.nothing_written(), pytest.raises(MalformedError, match="name"):
        acts.principal(cell.wallet("Alice B"), Purpose.SUBMISSION, "submitter", "ledger-submission+jwt")
    assert len(cell.ledger.logs()) == logs


@pytest.mark.parametrize(
    "asked", [{"families": []}, {"families": ["Flood"]}, {"classes": ["Flood"]}, {"classes": []}], ids=str
)
def test_a_grant_of_nothing_or_of_no_known_form_is_refused(cell: Cell, asked: dict[str, Any]) -> None:
    with cell.nothing_written(), pytest.raises(RefusedError):
        cell.join("Grantee", **asked)


def test_a_dao_is_registered_once_in_a_jurisdiction_and_again_in_another(cell: Cell) -> None:
    cell.join("OnceDAO", jurisdiction="ken")
    with cell.nothing_written(), pytest.raises(ConflictError, match="registered in KEN already"):
        cell.join("OnceDAO", jurisdiction="KEN")
    assert cell.join("OnceDAO", jurisdiction="DEU").name == "OnceDAO/DEU"


class Registration:
    """A registration whose parts can be changed before it is handed in."""

    def __init__(self, cell: Cell, dao: str) -> None:
        self.cell = cell
        self.admin = cell.wallet("admin")
        self.did = self.admin.did(Purpose.GOVERNANCE)
        self.registered = prepare_tenant(
            cell.ledger, dao=dao, jurisdiction="DEU", did=self.did, admins=[admin_key(self.admin)], threshold=1
        )
        self.endorser = cell.root
        self.issuer = cell.root
        self.credential_dao = dao

    def accept(self, admin: Wallet | None = None, **changes: Any) -> tuple[str, ...]:
        """Return the acceptance."""
        event = self.registered
        claims = {**acceptance_claims(event), **changes}
        return signed_by([admin or self.admin], GOVERNANCE, said(self.cell, self.did, event.origin, claims))

    def hand_in(self, acceptances: tuple[str, ...] | None = None, registered: TenantRegistered | None = None) -> None:
        """Hand it in."""
        cell, event = self.cell, registered or self.registered
        now = cell.clock.now_ms()
        subject = ExecutorSubject(
            id=self.did, dao=self.credential_dao, jurisdiction="DEU", clause_families=("UNDRR::Disaster::Flood",),
            resource_classes=(CLASS,), maximum_memory_bytes=1 << 24,
        )  # fmt: skip
        credential = issue_executor(
            subject, self.issuer.key(Purpose.CREDENTIAL), valid_from_ms=now, valid_until_ms=now + 10**9, created_ms=now
        )
        draft = evolve_tenant(event, None)
        endorsed = endorsement_claims(draft, sha256_hex(canonical(credential)))
        root = acts.root_scope(cell.ledger)
        submitter = acts.principal(self.admin, Purpose.SUBMISSION, "submitter", "ledger-submission+jwt")
        enrolment = signed_by([self.admin], GOVERNANCE, said(cell, self.did, event.origin, enrolment_claims(submitter)))
        tenants.register_tenant(
            cell.ledger, event, acceptances=self.accept() if acceptances is None else acceptances,
            credential=credential,
            endorsements=signed_by([self.endorser], ENDORSEMENT, said(cell, root.did, event.origin, endorsed)),
            enrolments=[Enrolment(submitter, enrolment)],
        )  # fmt: skip


def test_a_tenant_needs_its_own_admins_acceptance(cell: Cell) -> None:
    registration = Registration(cell, "AcceptDAO")
    wrong = [(), registration.accept(cell.root), registration.accept(threshold=2), registration.accept(origin="x")]
    for acceptances in wrong:
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            registration.hand_in(acceptances)
    registration.hand_in()


def test_a_tenant_needs_the_root_scopes_endorsement_and_credential(cell: Cell) -> None:
    registration = Registration(cell, "EndorseDAO")
    for name, value in (("endorser", cell.wallet("x")), ("issuer", cell.wallet("x")), ("credential_dao", "OtherDAO")):
        kept = getattr(registration, name)
        setattr(registration, name, value)
        with cell.nothing_written(), pytest.raises(RefusedError):
            registration.hand_in()
        setattr(registration, name, kept)
    registration.hand_in()


@pytest.mark.parametrize("name", ["origin", "slot", "attestation_key", "release_key", "output_key"])
def test_a_registration_that_names_another_log_than_its_own_is_refused(cell: Cell, name: str) -> None:
    registration = Registration(cell, "MixedDAO")
    other: dict[str, Any] = Registration(cell, "OtherDAO").registered.model_dump()
    registration.registered = registration.registered.model_copy(update={name: other[name]})
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        registration.hand_in()


def test_two_registrations_of_one_name_do_not_both_succeed(cell: Cell) -> None:
    first, second = Registration(cell, "RaceDAO"), Registration(cell, "RaceDAO")
    first.hand_in()
    with cell.nothing_written(), pytest.raises(ConflictError, match="taken"):
        second.hand_in()
    other = cell.ledger.log(UUID(second.registered.tenant_id))
    assert cell.ledger.head(other.log_id).size == 0


def test_a_key_has_one_purpose_for_ever(cell: Cell) -> None:
    member = cell.join()
    again = acts.principal(member.admins[0], Purpose.GOVERNANCE, "submitter", "ledger-submission+jwt")
    with cell.nothing_written(), pytest.raises(ConflictError, match="one purpose"):
        acts.enrol(cell.ledger, member.tenant, member.admins, again)


def test_a_revoked_key_counts_no_more_and_comes_back_never(cell: Cell) -> None:
    member = cell.join(admins=2)
    lost = member.admins[0]
    for purpose in (Purpose.SUBMISSION, Purpose.GOVERNANCE):
        acts.revoke(cell.ledger, member.tenant, member.admins[1:], lost.thumbprint(purpose), "stolen")
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        cell.submit(member)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        acts.adopt_policy(cell.ledger, member.tenant, [lost], Policy())
    again = acts.principal(lost, Purpose.SUBMISSION, "submitter", "ledger-submission+jwt")
    with cell.nothing_written(), pytest.raises(ConflictError):
        acts.enrol(cell.ledger, member.tenant, member.admins[1:], again)


def test_a_key_is_revoked_by_enough_admins_only_and_never_the_last_ones(cell: Cell) -> None:
    member, other = cell.join(admins=2, threshold=2), cell.join()
    kid = member.admins[0].thumbprint(Purpose.SUBMISSION)
    for wallets in (member.admins[:1], other.admins, [cell.root]):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            acts.revoke(cell.ledger, member.tenant, wallets, kid, "stolen")
    admin = member.admins[0].thumbprint(Purpose.GOVERNANCE)
    with cell.nothing_written(), pytest.raises(RefusedError, match="would be left"):
        acts.revoke(cell.ledger, member.tenant, member.admins, admin, "stolen")
    with cell.nothing_written(), pytest.raises(RefusedError, match="no such key"):
        acts.revoke(cell.ledger, member.tenant, member.admins, "A" * 43, "stolen")


def test_governance_of_a_tenant_takes_its_threshold_of_its_own_admins(cell: Cell) -> None:
    member, other = cell.join(admins=3, threshold=2), cell.join()
    policy = Policy()
    for wallets in ([member.admins[0]], [member.admins[0]] * 2, [member.admins[0], other.admins[0]], [cell.root], []):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            acts.adopt_policy(cell.ledger, member.tenant, wallets, policy)
    acts.adopt_policy(cell.ledger, member.tenant, member.admins[1:], policy)
    assert member.tenant.policy_version == 1


def test_a_policy_signed_for_one_tenant_or_version_counts_for_no_other(cell: Cell) -> None:
    person = ["same-person"]
    first, second = cell.join(persons=person), cell.join(persons=person)
    policy = Policy()
    claims = {"act": "adopt_policy", "version": 1, "policy_digest": policy.digest()}
    tokens = signed_by(first.admins, GOVERNANCE, said(cell, first.tenant.did, first.tenant.origin, claims))
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        tenants.adopt(cell.ledger, second.tenant, policy, tokens)
    answer = tenants.adopt(cell.ledger, first.tenant, policy, tokens)
    with cell.nothing_written():
        assert tenants.adopt(cell.ledger, first.tenant, policy, tokens).answer == answer.answer
    other = Policy.model_validate_json('{"rules":[{"kind":"in_country"}]}')
    later = {**claims, "policy_digest": other.digest()}
    stale = signed_by(first.admins, GOVERNANCE, said(cell, first.tenant.did, first.tenant.origin, later))
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="version"):
        tenants.adopt(cell.ledger, first.tenant, other, stale)


def test_two_policies_adopted_at_the_same_moment_do_not_both_get_the_version(cell: Cell) -> None:
    member = cell.join()
    before = member.tenant
    acts.adopt_policy(cell.ledger, before, member.admins, Policy())
    with cell.nothing_written(), pytest.raises(ConflictError):
        acts.adopt_policy(cell.ledger, before, member.admins, Policy())


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b'{"rules":{}}', b'{"rules":[{"kind":"other"}]}', b'{"rules":[],"extra":1}',
        b'{"rules":[{"kind":"in_country","countries":["XXX"]}]}', b'{"rules":[{"kind":"independent_attestations"}]}',
        b'{"rules":[' + b" " * 20_000 + b"]}", b'{"rules":[{"kind":"validity","from_ms":2,"until_ms":1}]}',
        b"\xff", b"[" * 10_000,
    ],
    ids=lambda data: data[:24].decode(errors="replace"),
)  # fmt: skip
def test_a_malformed_policy_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_policy(data, "DEU")


# Clauses

META = {
    "clause_id": "UNDRR::Disaster::Meta@1.0.0", "owner": "ClauseHouse", "resource_classes": [CLASS],
    "maximum_bounds": MAXIMUM.model_dump(),
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"clause_id": "Flood"}, {"clause_id": "A::B::C@1.0"}, {"clause_id": "A::B::C@01.0.0"}, {"owner": "a b"},
        {"resource_classes": []}, {"resource_classes": ["Flood"]}, {"maximum_bounds": {}}, {"extra": 1},
        {"policies": [{"kind": "other"}]}, {"inputs": 0}, {"inputs": True}, {"daos": ["?"]},
        {"jurisdictions": ["XXX"]},
    ],
    ids=str,
)  # fmt: skip
def test_malformed_clause_metadata_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        read_metadata(json.dumps({**META, **changes}).encode())


def test_metadata_that_is_no_json_or_too_large_is_refused() -> None:
    for data in (b"", b"{", b"\xff\xfe", b"[" * 10_000, b" " * 40_000):
        with pytest.raises(MalformedError):
            read_metadata(data)


@pytest.mark.parametrize(
    "module", [b"", b"\0asm\1\0\0\0", b"not wasm", bytes(2_000_000)], ids=["empty", "bare", "text", "large"]
)
def test_a_module_that_the_keep_would_not_run_is_refused(cell: Cell, module: bytes) -> None:
    metadata = read_metadata(json.dumps(META).encode())
    with cell.nothing_written(), pytest.raises(MalformedError):
        acts.register_clause(cell.ledger, cell.owner.tenant, cell.owner.admins, metadata, module)
    assert load_clause(cell.ledger, metadata.clause_id) is None


def test_a_clause_is_registered_once_and_by_its_owner_only(cell: Cell) -> None:
    member = cell.join()
    module = clause_module("trap")
    metadata = read_metadata(json.dumps({**META, "clause_id": "UNDRR::Disaster::Once@1.0.0"}).encode())
    tries: list[tuple[Any, list[Wallet]]] = [
        (member.tenant, member.admins), (cell.owner.tenant, member.admins), (cell.owner.tenant, []),
    ]  # fmt: skip
    for owner, wallets in tries:
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            acts.register_clause(cell.ledger, owner, wallets, metadata, module)
    acts.register_clause(cell.ledger, cell.owner.tenant, cell.owner.admins, metadata, module)
    with cell.nothing_written(), pytest.raises(ConflictError, match="registered"):
        acts.register_clause(
            cell.ledger, cell.owner.tenant, cell.owner.admins, metadata, clause_module("simulation_failure")
        )


def test_a_module_other_than_the_one_that_was_signed_for_is_refused(cell: Cell) -> None:
    owner = cell.owner
    metadata = ClauseMetadata.model_validate_json(json.dumps({**META, "clause_id": "UNDRR::Disaster::Swap@1.0.0"}))
    claims = registration_claims(metadata, "0" * 64)
    content = said(cell, owner.tenant.did, cell.ledger.platform().origin, claims)
    tokens = signed_by(owner.admins, GOVERNANCE, content)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        clauses.register(cell.ledger, owner.tenant, metadata, clause_module("trap"), tokens)
    assert cell.ledger.stream(cell.ledger.platform().log_id, clause_stream(metadata.clause_id)) == ()


# Nodes


def node_facts(wallet: Wallet, **changes: Any) -> NodeFacts:
    """Return facts of a node."""
    known: dict[str, Any] = {
        "node": "delta", "operator": "OpD", "country": "DEU", "vendor": "soft", "memory_bytes": 1 << 20, "slots": 1,
        "platform_ids": (f"software:{wallet.thumbprint(Purpose.REPORT)}",), **changes,
    }  # fmt: skip
    return NodeFacts(**known)


def enrol(cell: Cell, facts: NodeFacts, wallet: Wallet, *, issuer: Wallet | None = None, **credential: Any) -> None:
    """Enrol a node whose credential may say something else than its facts."""
    now = cell.clock.now_ms()
    granted: dict[str, Any] = {
        "id": wallet.did(Purpose.REPORT), "operator": facts.operator, "country_of_operation": facts.country,
        "vendor": facts.vendor, "platform_ids": facts.platform_ids, "attributes": facts.attributes,
        "admits": facts.admits, **credential,
    }  # fmt: skip
    document = issue_node(
        NodeSubject(**granted), (issuer or cell.root).key(Purpose.CREDENTIAL), valid_from_ms=now,
        valid_until_ms=now + 10**9, created_ms=now,
    )  # fmt: skip
    content = said(cell, wallet.did(Purpose.REPORT), cell.ledger.platform().origin, nodes.enrolment_claims(facts))
    nodes.enrol_node(
        cell.ledger, facts, public_key=wallet.public(Purpose.REPORT), credential=document,
        acceptance=signed_by([wallet], "ledger-report+jwt", content)[0],
    )  # fmt: skip


@pytest.mark.parametrize(
    "credential",
    [
        {"country_of_operation": "FRA"}, {"operator": "OpX"}, {"vendor": "other"},
        {"admits": ("Other",)}, {"attributes": ("gpu",)},
        {"platform_ids": ("software:" + "A" * 43,)},
    ],
    ids=str,
)  # fmt: skip
def test_a_node_whose_facts_are_not_its_credentials_is_refused(cell: Cell, credential: dict[str, Any]) -> None:
    wallet = cell.wallet("delta")
    with cell.nothing_written(), pytest.raises(RefusedError):
        enrol(cell, node_facts(wallet), wallet, **credential)


def test_a_node_with_anothers_credential_or_of_an_unknown_issuer_is_refused(cell: Cell) -> None:
    wallet, other = cell.wallet("delta"), cell.wallet("other")
    with cell.nothing_written(), pytest.raises(RefusedError):
        enrol(cell, node_facts(wallet), wallet, id=other.did(Purpose.REPORT))
    with cell.nothing_written(), pytest.raises(RefusedError):
        enrol(cell, node_facts(wallet), wallet, issuer=other)
    foreign = node_facts(wallet, platform_ids=(f"software:{other.thumbprint(Purpose.REPORT)}",))
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="platform id"):
        enrol(cell, foreign, wallet)


def test_a_node_name_and_a_machine_are_enrolled_once(cell: Cell) -> None:
    wallet, other = cell.wallet("epsilon"), cell.wallet("epsilon")
    enrol(cell, node_facts(wallet, node="epsilon", admits=("Nobody",)), wallet)
    with cell.nothing_written(), pytest.raises(ConflictError, match="name"):
        enrol(cell, node_facts(other, node="epsilon"), other)
    with cell.nothing_written(), pytest.raises(ConflictError, match="taken"):
        enrol(cell, node_facts(wallet, node="zeta"), wallet)


def test_a_node_is_drained_by_the_roots_admins_and_takes_no_new_work(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join()
    member.adopt({"kind": "nodes", "allowed": ["alpha"]})
    for wallet in (cell.nodes["alpha"], member.admins[0]):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            acts.drain_node(cell.ledger, [wallet], "alpha", "moves")
    acts.drain_node(cell.ledger, [cell.root], "alpha", "moves")
    cell.submit(member)
    cell.settle()
    assert cell.topics(member)[-1] == "workload.deferred.v2"  # it may return: what waits for it waits on
    with cell.nothing_written(), pytest.raises(RefusedError):
        acts.drain_node(cell.ledger, [cell.root], "nobody", "moves")


# Who is meant


def test_a_log_is_named_strictly(cell: Cell) -> None:
    member = cell.join("NamedDAO")
    assert find_log(cell.ledger, "NamedDAO/deu").log_id == member.log_id
    assert find_log(cell.ledger, str(member.log_id)).log_id == member.log_id
    for name in ("NamedDAO", "NamedDAO/", "/DEU", "NamedDAO/DEU/x", "", "named dao/DEU"):
        with pytest.raises(MalformedError):
            find_log(cell.ledger, name)
    for name in ("OtherDAO/DEU", "NamedDAO/KEN", "0190163d-8694-739b-aea5-966c26f8ad90"):
        with pytest.raises(RefusedError):
            find_log(cell.ledger, name)


def test_a_command_on_a_lost_database_is_told_in_our_words(postgres: TestServer, tmp_path: Path) -> None:
    with postgres.database() as name:
        environ = {"LEDGER_DATABASE_URL": postgres.conninfo(name)}
        ledger: Ledger = open_ledger(tmp_path, environ, clock=VirtualClock(NOW), ids=SeededIds(1), entropy=ENTROPY)
        ledger.close()
    with pytest.raises(LedgerError) as caught:
        open_ledger(tmp_path, environ, clock=VirtualClock(NOW), ids=SeededIds(1), entropy=ENTROPY)
    assert name not in str(caught.value)
