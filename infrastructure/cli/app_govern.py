"""Options of the commands that found and govern. What they do is in infrastructure.cli.govern."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Key, Keys, RootKeys, Tenant, group

key_app = group("Keys: wallets of principals, and the data keys of logs.")
tenant_app = group("Tenants: a DAO in one jurisdiction.")
clause_app = group("Clauses: governed programs.")
policy_app = group("Policies of a tenant.")
node_app = group("Nodes: machines that execute.")


@key_app.command("new")
def key_new(
    file: Path, name: Annotated[str, typer.Option("--name", help="The person or machine behind it.")],
    data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False,
) -> None:  # fmt: skip
    """Make a wallet: one key for each purpose, in a file that only you can read."""
    from infrastructure.cli import govern

    govern.new_key(file, name, as_json=as_json)


def init(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    host: Annotated[str, typer.Option("--host", help="Name of this ledger in every origin.")] = "ledger.example",
    key: Keys = None,
    threshold: Annotated[int, typer.Option("--threshold", min=1, max=16, help="Root admins needed for an act.")] = 1,
    levels: Annotated[str, typer.Option("--levels", help="Priority domains, highest first.")] = (
        "Disaster,Health,Finance,Planning"
    ),
    as_json: Json = False,
) -> None:
    """Write the genesis: cell, platform log, root scope and its keys. Nothing is accepted before it."""
    from infrastructure.cli import govern

    domains = [name.strip() for name in levels.split(",") if name.strip()]
    govern.init(data_dir, host, key or [], threshold, domains, as_json=as_json)


@tenant_app.command("register")
def tenant_register(
    dao: Annotated[str, typer.Option("--dao", help="Name of the DAO.")],
    jurisdiction: Annotated[str, typer.Option("--jurisdiction", help="ISO 3166-1 alpha-3, or EU, WFP, ...")],
    clause: Annotated[list[str], typer.Option("--clause", help="Clause family granted: Namespace::Domain::Name.")],
    resource_class: Annotated[list[str], typer.Option("--class", help="Resource class granted: Domain::Name@v1.")],
    key: Keys = None,
    root_key: RootKeys = None,
    threshold: Annotated[int, typer.Option("--threshold", min=1, max=16, help="Admins needed for an act.")] = 1,
    valid_days: Annotated[int, typer.Option("--valid-days", min=1, max=3650, help="Life of its credential.")] = 365,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Register a tenant: --key are its admins, who accept; the root scope endorses and grants its TEEExecutorVC."""
    from infrastructure.cli import govern

    govern.register_tenant(
        data_dir,
        dao=dao,
        jurisdiction=jurisdiction,
        keys=key or [],
        root_keys=root_key or [],
        families=clause,
        classes=resource_class,
        threshold=threshold,
        valid_days=valid_days,
        as_json=as_json,
    )


@tenant_app.command("list")
def tenant_list(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """List the tenants of this cell."""
    from infrastructure.cli import govern

    govern.list_tenants(data_dir, as_json=as_json)


@tenant_app.command("renew")
def tenant_renew(
    tenant: Tenant,
    clause: Annotated[list[str], typer.Option("--clause", help="Clause family granted: Namespace::Domain::Name.")],
    resource_class: Annotated[list[str], typer.Option("--class", help="Resource class granted: Domain::Name@v1.")],
    root_key: RootKeys = None,
    valid_days: Annotated[int, typer.Option("--valid-days", min=1, max=3650, help="Life of its credential.")] = 365,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Grant a tenant a new TEEExecutorVC, by the root scope."""
    from infrastructure.cli import govern

    govern.renew_tenant(
        data_dir,
        tenant,
        root_keys=root_key or [],
        families=clause,
        classes=resource_class,
        valid_days=valid_days,
        as_json=as_json,
    )


@tenant_app.command("enrol-key")
def tenant_enrol_key(
    wallet: Annotated[Path, typer.Argument(metavar="WALLET", help="Wallet of the person to enrol.")],
    tenant: Tenant,
    role: Annotated[str, typer.Option("--role", help="E.g. admin, submitter, or a role that a policy names.")],
    purpose: Annotated[str, typer.Option("--purpose", help="governance or submission: which of its keys.")],
    key: Keys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Enrol one key of a further person, signed by the tenant's admins."""
    from infrastructure.cli import govern

    govern.enrol_key(data_dir, tenant, wallet, role, purpose, key or [], as_json=as_json)


@tenant_app.command("revoke-key")
def tenant_revoke_key(
    kid: Annotated[str, typer.Argument(metavar="KID", help="Thumbprint of the key.")],
    tenant: Tenant,
    reason: Annotated[str, typer.Option("--reason", help="Why, in a sentence.")],
    key: Keys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Withdraw a key of a tenant for ever, e.g. a stolen one."""
    from infrastructure.cli import govern

    govern.revoke_key(data_dir, tenant, kid, reason, key or [], as_json=as_json)


@clause_app.command("register")
def clause_register(
    file: Path, tenant: Tenant, key: Keys = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Register a clause from FILE (JSON: metadata, and "module" with the path of its .wasm or .wat)."""
    from infrastructure.cli import govern

    govern.register_clause(data_dir, file, key or [], tenant, as_json=as_json)


@clause_app.command("deprecate")
def clause_deprecate(
    clause_id: str,
    tenant: Tenant,
    reason: Annotated[str, typer.Option("--reason", help="Why, in a sentence; everybody enrolled may read it.")],
    key: Keys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Let no new submission of a clause in. Its trail stays."""
    from infrastructure.cli import govern

    govern.deprecate_clause(data_dir, clause_id, reason, key or [], tenant, as_json=as_json)


@policy_app.command("adopt")
def policy_adopt(
    file: Path, tenant: Tenant, key: Keys = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Put the policy in FILE in force: {"rules": [{"kind": "in_country"}, ...]}."""
    from infrastructure.cli import govern

    govern.adopt_policy(data_dir, file, key or [], tenant, as_json=as_json)


@node_app.command("enrol")
def node_enrol(
    name: Annotated[str, typer.Option("--name", help="Name of the node.")],
    operator: Annotated[str, typer.Option("--operator", help="Who runs it.")],
    country: Annotated[str, typer.Option("--country", help="Country of operation, ISO 3166-1 alpha-3.")],
    key: Key,
    vendor: Annotated[str, typer.Option("--vendor", help="Maker of its hardware.")] = "none",
    slots: Annotated[int, typer.Option("--slots", help="Executions at the same time.")] = 2,
    memory_mib: Annotated[int, typer.Option("--memory-mib", help="Memory for enclaves.")] = 512,
    attribute: Annotated[list[str] | None, typer.Option("--attribute", help="What it offers.")] = None,
    admits: Annotated[list[str] | None, typer.Option("--admits", help="Only these DAOs (default: any).")] = None,
    root_key: RootKeys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Enrol a node that this installation runs. Its wallet is made if FILE does not exist."""
    from infrastructure.cli import govern

    facts: dict[str, object] = {
        "node": name,
        "operator": operator,
        "country": country.upper(),
        "vendor": vendor,
        "slots": slots,
        "memory_bytes": memory_mib * 1024 * 1024,
        "attributes": tuple(attribute or ()),
        "admits": tuple(admits) if admits else None,
    }
    govern.enrol_node(data_dir, facts, key, root_key or [], as_json=as_json)


@node_app.command("drain")
def node_drain(
    name: str,
    reason: Annotated[str, typer.Option("--reason", help="Why, in a sentence.")],
    root_key: RootKeys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Let a node take no new work; what runs there ends by itself."""
    from infrastructure.cli import govern

    govern.drain_node(data_dir, name, reason, root_key or [], as_json=as_json)


@node_app.command("return")
def node_return(
    name: str,
    reason: Annotated[str, typer.Option("--reason", help="Why, in a sentence.")],
    root_key: RootKeys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Let a node take work again that was drained, in doubt for its claims, or lost."""
    from infrastructure.cli import govern

    govern.return_node(data_dir, name, reason, root_key or [], as_json=as_json)
