"""Options of the commands that found and govern. What they do is in infrastructure.cli.govern."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import (
    DEFAULT_DATA_DIR,
    HOST,
    LEVELS,
    PRIMARY_POOL,
    As,
    DataDir,
    Issued,
    Json,
    Key,
    Keys,
    Place,
    Pool,
    Reason,
    RootKeys,
    ScopeKeys,
    Tenant,
    ValidDays,
    group,
    placed,
)

key_app = group("Keys: wallets of principals, and the data keys of logs.")
tenant_app = group("Tenants: a DAO in one jurisdiction.")
clause_app = group("Clauses: governed programs.")
policy_app = group("Policies of a tenant.")
node_app = group("Nodes: machines that execute.")


class Custody(StrEnum):
    """Who holds what opens a tenant's inputs and outputs."""

    OPERATOR = "operator"
    TENANT = "tenant"


Families = Annotated[list[str] | None, typer.Option("--clause", help="Clause family granted: Namespace::Domain::Name.")]
Classes = Annotated[list[str] | None, typer.Option("--class", help="Resource class granted: Domain::Name@v1.")]


@key_app.command("new")
def key_new(
    file: Path, name: Annotated[str, typer.Option("--name", help="The person or machine behind it.")],
    custody: Annotated[bool, typer.Option("--custody", help="With a tenant's own release and output key.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False,
) -> None:  # fmt: skip
    """Make a wallet: one key for each purpose, in a file that only you can read.

    With --custody it also holds what opens a tenant's inputs and outputs (`tenant register --custody tenant`).
    """
    from infrastructure.cli import govern

    govern.new_key(file, name, custody=custody, as_json=as_json)


def init(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    host: Annotated[str, typer.Option("--host", help="Name of this ledger in every origin.")] = HOST,
    key: Keys = None,
    threshold: Annotated[int, typer.Option("--threshold", min=1, max=16, help="Root admins needed for an act.")] = 1,
    levels: Annotated[str, typer.Option("--levels", help="Priority domains, highest first.")] = ",".join(LEVELS),
    as_json: Json = False,
) -> None:
    """Write the genesis: cell, platform log, root scope and its keys. Nothing is accepted before it."""
    from infrastructure.cli import govern

    domains = [name.strip() for name in levels.split(",") if name.strip()]
    govern.init(data_dir, host, key or [], threshold, domains, as_json=as_json)


@tenant_app.command("register")
@placed
def tenant_register(
    dao: Annotated[str, typer.Option("--dao", help="Name of the DAO.")],
    jurisdiction: Annotated[str, typer.Option("--jurisdiction", help="ISO 3166-1 alpha-3, or EU, WFP, ...")],
    clause: Families = None,
    resource_class: Classes = None,
    credential: Issued = None,
    key: Keys = None,
    root_key: RootKeys = None,
    threshold: Annotated[int, typer.Option("--threshold", min=1, max=16, help="Admins needed for an act.")] = 1,
    valid_days: ValidDays = 365,
    scope: Annotated[str, typer.Option("--scope", help="Scope above (`scope list`).")] = "root",
    scope_key: Annotated[list[Path] | None, typer.Option("--scope-key", help="Admin of that scope.")] = None,
    custody: Annotated[
        Custody, typer.Option("--custody", help="Who opens its inputs and outputs: the operator, or the tenant itself.")
    ] = Custody.OPERATOR,
    release_key: Annotated[
        str | None, typer.Option("--release-key", metavar="HEX|FILE", help="Public key, or the releaser's wallet.")
    ] = None,
    output_key: Annotated[
        str | None,
        typer.Option("--output-key", metavar="HEX|FILE", help="Public key, or wallet that opens outputs."),
    ] = None,
    *,
    place: Place,
) -> None:
    """Register a tenant: --key are its admins, who accept; the scope above endorses and grants its TEEExecutorVC.

    With --custody tenant the ledger has only the public halves of release and output key: see `release run`.
    Without --release-key and --output-key they are those of the first --key, a wallet made with `key new --custody`.
    """
    from infrastructure.cli import govern, remoting_registrations

    at = place.there()
    if at is not None:
        remoting_registrations.tenant(
            at, dao=dao, jurisdiction=jurisdiction, keys=key or [], scope_keys=[*(root_key or []), *(scope_key or [])],
            families=clause or [], classes=resource_class or [], issued=credential, threshold=threshold,
            valid_days=valid_days, scope=scope, custody=custody.value, release_key=release_key, output_key=output_key,
            as_json=place.as_json,
        )  # fmt: skip
        return
    govern.register_tenant(
        place.data_dir,
        dao=dao,
        jurisdiction=jurisdiction,
        keys=key or [],
        root_keys=[*(root_key or []), *(scope_key or [])],
        families=clause or [],
        classes=resource_class or [],
        issued=credential,
        threshold=threshold,
        valid_days=valid_days,
        scope=scope,
        custody=custody.value,
        release_key=release_key,
        output_key=output_key,
        as_json=place.as_json,
    )


@tenant_app.command("list")
def tenant_list(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """List the tenants of this cell."""
    from infrastructure.cli import govern

    govern.list_tenants(data_dir, as_json=as_json)


@tenant_app.command("renew")
def tenant_renew(
    tenant: Tenant,
    clause: Families = None,
    resource_class: Classes = None,
    credential: Issued = None,
    root_key: RootKeys = None,
    scope_key: ScopeKeys = None,
    valid_days: ValidDays = 365,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Grant a tenant a new TEEExecutorVC, by the scope above it."""
    from infrastructure.cli import govern

    govern.renew_tenant(
        data_dir,
        tenant,
        root_keys=[*(root_key or []), *(scope_key or [])],
        families=clause or [],
        classes=resource_class or [],
        issued=credential,
        valid_days=valid_days,
        as_json=as_json,
    )


@tenant_app.command("enrol-key")
@placed
def tenant_enrol_key(
    wallet: Annotated[Path, typer.Argument(metavar="WALLET", help="Wallet of the person to enrol.")],
    tenant: Tenant,
    role: Annotated[str, typer.Option("--role", help="E.g. admin, submitter, or a role that a policy names.")],
    purpose: Annotated[str, typer.Option("--purpose", help="governance, submission, or endorsement (releaser).")],
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Enrol one key of a further person, signed by the tenant's admins."""
    from infrastructure.cli import govern, remoting_principals

    at = place.there()
    if at is not None:
        remoting_principals.enrol_key(at, wallet, role, purpose, key or [], tenant, as_json=place.as_json)
        return
    govern.enrol_key(place.data_dir, tenant, wallet, role, purpose, key or [], as_json=place.as_json)


# A thumbprint in base64url may begin with "-": what is no option is the argument.
@tenant_app.command("revoke-key", context_settings={"ignore_unknown_options": True})
@placed
def tenant_revoke_key(
    kid: Annotated[str, typer.Argument(metavar="KID", help="Thumbprint of the key.")],
    tenant: Tenant,
    reason: Reason,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Withdraw a key of a tenant for ever, e.g. a stolen one."""
    from infrastructure.cli import govern, remoting_principals

    at = place.there()
    if at is not None:
        remoting_principals.revoke_key(at, kid, reason, key or [], tenant, as_json=place.as_json)
        return
    govern.revoke_key(place.data_dir, tenant, kid, reason, key or [], as_json=place.as_json)


@clause_app.command("register")
@placed
def clause_register(
    file: Path,
    tenant: Tenant,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Register a clause from FILE (JSON: metadata, and "module" with the path of its .wasm or .wat)."""
    from infrastructure.cli import govern, remoting_grants

    at = place.there()
    if at is not None:
        remoting_grants.register_clause(at, file, key or [], tenant, as_json=place.as_json)
        return
    govern.register_clause(place.data_dir, file, key or [], tenant, as_json=place.as_json)


@clause_app.command("deprecate")
@placed
def clause_deprecate(
    clause_id: str,
    tenant: Tenant,
    reason: Annotated[str, typer.Option("--reason", help="Why, in a sentence; everybody enrolled may read it.")],
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Let no new submission of a clause in. Its trail stays."""
    from infrastructure.cli import govern, remoting

    at = place.there()
    if at is not None:
        claims = {"act": "deprecate_clause", "clause_id": clause_id, "reason": reason}
        lines = [f"{clause_id} is deprecated"]
        remoting.act(at, "/v1/clauses/deprecations", claims, key or [], tenant, lines, as_json=place.as_json)
        return
    govern.deprecate_clause(place.data_dir, clause_id, reason, key or [], tenant, as_json=place.as_json)


@policy_app.command("adopt")
@placed
def policy_adopt(
    file: Path,
    tenant: Tenant,
    key: Keys = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what there is a warning of.")] = False,
    *,
    place: Place,
) -> None:
    """Put the policy in FILE in force: {"rules": [{"kind": "in_country"}, ...]}.

    One that contradicts itself is refused. What it would stop, and what runs against it, is told; ends with 3 then.
    """
    from infrastructure.cli import policies, remoting_grants

    at = place.there()
    if at is not None:
        remoting_grants.adopt_policy(at, file, key or [], tenant, as_json=place.as_json)
        return
    raise typer.Exit(policies.adopt(place.data_dir, file, key or [], tenant, strict=strict, as_json=place.as_json))


@policy_app.command("check")
def policy_check(file: Path, tenant: Tenant, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Say what the policy in FILE would do, and adopt nothing. Ends with 1 for a contradiction, 3 for a warning."""
    from infrastructure.cli import policies

    raise typer.Exit(policies.check(data_dir, file, tenant, as_json=as_json))


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
    platform: Annotated[
        str, typer.Option("--platform", help="Its evidence: software, or a synthetic machine: snp, sgx, tdx.")
    ] = "software",
    pool: Pool = PRIMARY_POOL,
    credential: Issued = None,
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
        "pool": pool,
    }
    govern.enrol_node(data_dir, facts, key, root_key or [], issued=credential, as_json=as_json, platform=platform)


@node_app.command("drain")
@placed
def node_drain(
    name: str,
    reason: Reason,
    root_key: RootKeys = None,
    as_: As = "root",
    *,
    place: Place,
) -> None:
    """Let a node take no new work; what runs there ends by itself."""
    from infrastructure.cli import govern, remoting

    at = place.there()
    if at is not None:
        claims = {"act": "drain_node", "node": name, "reason": reason}
        remoting.act(
            at, "/v1/nodes/drains", claims, root_key or [], as_, [f"{name} takes no new work"], as_json=place.as_json
        )
        return
    govern.drain_node(place.data_dir, name, reason, root_key or [], as_json=place.as_json)


@node_app.command("return")
@placed
def node_return(
    name: str,
    reason: Reason,
    root_key: RootKeys = None,
    as_: As = "root",
    *,
    place: Place,
) -> None:
    """Let a node take work again that was drained, in doubt for its claims, or lost."""
    from infrastructure.cli import govern, remoting

    at = place.there()
    if at is not None:
        claims = {"act": "return_node", "node": name, "reason": reason}
        remoting.act(
            at, "/v1/nodes/returns", claims, root_key or [], as_, [f"{name} takes work again"], as_json=place.as_json
        )
        return
    govern.return_node(place.data_dir, name, reason, root_key or [], as_json=place.as_json)
