"""First act: the cell begins, tenants are endorsed, programs registered, nodes enrolled, policies adopted."""

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files

from domain.clauses.events import ClauseMetadata
from domain.identifiers import parse_clause_id
from domain.statements import GOVERNANCE
from infrastructure.client import acts
from infrastructure.demo.cast import HOST, LEVELS, MEMBERS, MOST, NILE, NODES, PROGRAMS, Member, Program
from infrastructure.demo.stage import Stage
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.runtime.module import module_bytes
from infrastructure.work import remember_node

ROOT = "root-admin"
ROOT_FILE = "root.key.json"
JUDGES = ("amina", "bassem")
"""Who re-authorises for the Nile's tenant: its policy asks for two persons of that role."""


def found(stage: Stage) -> None:
    """Play the act."""
    stage.display.act("Founding: a cell, five tenants, seven nodes in seven countries, their clauses and policies")
    root = stage.wallet(ROOT, ROOT_FILE)
    acts.begin_cell(stage.ledger, HOST, [root], 1)
    acts.adopt_levels(stage.ledger, [root], LEVELS)
    for member in MEMBERS:
        _register(stage, root, member)
    with ThreadPoolExecutor(1) as aside:
        # Starting a keep is waiting for a process, and touches no ledger. One that fails is tried again when needed.
        aside.map(stage.keeps.keep, [stage.tenant(member).origin for member in MEMBERS])
        _enrol(stage, root)
    for member in MEMBERS:
        for judgement in member.judgements:
            stage.display.say(f"{member.name} judges {judgement.series} by {judgement.clause}: {judgement.why}")
    stage.play()


def _enrol(stage: Stage, root: Wallet) -> None:
    """Register clauses, enrol nodes and judges, adopt policies."""
    for program in PROGRAMS:
        _govern(stage, program)
    for facts in NODES:
        wallet = stage.wallet(facts.node)
        acts.enrol_node(stage.ledger, wallet, root, facts)
        remember_node(stage.folder, facts.node, stage.folder / "wallets" / f"{facts.node}.json")
        stage.enlist(facts.node)
    for member in MEMBERS:
        stage.adopt(member, member.rules)
    for name in JUDGES:
        judge = acts.principal(stage.wallet(name), Purpose.GOVERNANCE, "reauthoriser", GOVERNANCE)
        acts.enrol(stage.ledger, stage.tenant(NILE), [stage.admin(NILE)], judge)


def families(member: Member) -> list[str]:
    """Return the clause families that a member's credential names."""
    return sorted({parse_clause_id(judgement.clause).family for judgement in member.judgements})


def classes(member: Member) -> list[str]:
    """Return the resource classes that a member's credential names."""
    return sorted({judgement.resource_class for judgement in member.judgements})


def _register(stage: Stage, root: Wallet, member: Member) -> None:
    tenant = acts.register_tenant(
        stage.ledger,
        dao=member.dao,
        jurisdiction=member.jurisdiction,
        admins=[stage.admin(member)],
        root_admins=[root],
        families=families(member),
        resource_classes=classes(member),
        valid_ms=member.credential_ms,
    )
    stage.know(member, tenant)


def _govern(stage: Stage, program: Program) -> None:
    owner = next(member for member in MEMBERS if member.dao == program.owner)
    metadata = ClauseMetadata(
        clause_id=program.clause,
        owner=program.owner,
        title=program.title,
        resource_classes=program.resource_classes,
        maximum_bounds=MOST,
        policies=program.rules,
        inputs=2,
        input_schema="series-csv/v1",
    )
    with as_file(files("infrastructure.demo") / "clauses" / f"{program.module}.wat") as path:
        module = module_bytes(path)
    acts.register_clause(stage.ledger, stage.tenant(owner), [stage.admin(owner)], metadata, module)
