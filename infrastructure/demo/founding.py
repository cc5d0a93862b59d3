"""First act: the cell begins, tenants are endorsed, programs registered, nodes enrolled, policies adopted."""

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files

from domain.clauses.events import ClauseMetadata
from domain.statements import GOVERNANCE
from infrastructure.client import acts
from infrastructure.demo.cast import (
    HOST,
    JUDGES,
    LEVELS,
    MEMBERS,
    MOST,
    NILE,
    NODES,
    PROGRAMS,
    ROOT,
    ROOT_FILE,
    Member,
    Program,
    classes,
    families,
)
from infrastructure.demo.local import LocalScene
from infrastructure.demo.scene import Scene
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.runtime.module import module_bytes


def found(stage: LocalScene) -> None:
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
    say_judgements(stage)
    stage.play()


def say_judgements(scene: Scene) -> None:
    """Say who judges what, and why so."""
    for member in MEMBERS:
        for judgement in member.judgements:
            scene.display.say(f"{member.name} judges {judgement.series} by {judgement.clause}: {judgement.why}")


def _enrol(stage: LocalScene, root: Wallet) -> None:
    """Register clauses, enrol nodes and judges, adopt policies."""
    for program in PROGRAMS:
        _govern(stage, program)
    for facts in NODES:
        stage.enrol(facts, root)
    for member in MEMBERS:
        stage.adopt(member, stage.rules(member))
    for name in JUDGES:
        judge = acts.principal(stage.wallet(name), Purpose.GOVERNANCE, "reauthoriser", GOVERNANCE)
        acts.enrol(stage.ledger, stage.tenant(NILE), [stage.admin(NILE)], judge, stage.wallet(name))


def _register(stage: LocalScene, root: Wallet, member: Member) -> None:
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


def _govern(stage: LocalScene, program: Program) -> None:
    owner, metadata, module = governed(program)
    acts.register_clause(stage.ledger, stage.tenant(owner), [stage.admin(owner)], metadata, module)


def governed(program: Program) -> tuple[Member, ClauseMetadata, bytes]:
    """Return who governs a program, its metadata and its module."""
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
        return owner, metadata, module_bytes(path)
