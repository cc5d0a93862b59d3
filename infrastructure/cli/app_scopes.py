"""Options of what scopes do: quotas, tokens, levels, scopes, monitors. What they do is in infrastructure.cli.scopes."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import (
    DEFAULT_DATA_DIR,
    As,
    DataDir,
    Json,
    Keys,
    OnlyTenant,
    Place,
    Reason,
    RootKeys,
    Tenant,
    group,
    instant,
    placed,
)

quota_app = group("Quotas: what a tenant or scope may use, borrow and lend.")
token_app = group("Tokens: how often a tenant may start work.")
levels_app = group("Priority levels of the cell.")
scope_app = group("Scopes below the root: treaty bodies and jurisdictions.")
monitor_app = group("Monitors: who is told of a tenant's faults.")

To = Annotated[str, typer.Option("--to", help="Grantee: DAO/JUR, a scope's name, `root`, or an id.")]
AboveKeys = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", help="Admin of the scope above the grantee; repeat it (default: the root's own from `init`)."
    ),
]


@quota_app.command("grant")
@placed
def quota_grant(
    to: To,
    key: AboveKeys = None,
    slots: Annotated[int | None, typer.Option("--slots", min=0, help="Own slots (default: not limited here).")] = None,
    borrow_slots: Annotated[int, typer.Option("--borrow-slots", min=0, help="Slots to borrow beyond them.")] = 0,
    lend_slots: Annotated[int, typer.Option("--lend-slots", min=0, help="Idle slots to lend to those below.")] = 0,
    memory_mib: Annotated[
        int | None, typer.Option("--memory-mib", min=0, help="Own memory in MiB (default: not limited here).")
    ] = None,
    borrow_memory_mib: Annotated[int, typer.Option("--borrow-memory-mib", min=0, help="Memory to borrow.")] = 0,
    lend_memory_mib: Annotated[int, typer.Option("--lend-memory-mib", min=0, help="Idle memory to lend.")] = 0,
    weight: Annotated[int, typer.Option("--weight", min=1, max=1000, help="Weight in fair sharing.")] = 1,
    as_: As = "root",
    *,
    place: Place,
) -> None:
    """Grant quotas to a tenant or scope, signed by admins of the scope above. The newest grant counts, as a whole.

    What is granted below a limit never sums to more than its own nominal. Ends with 3 when there is a warning.
    """
    from infrastructure.cli import remoting_grants, scopes

    asked = scopes.asked_quotas(
        slots=(slots, borrow_slots, lend_slots),
        memory_mib=(memory_mib, borrow_memory_mib, lend_memory_mib),
        weight=weight,
    )
    at = place.there()
    if at is not None:
        remoting_grants.grant_quota(at, to, asked, key or [], as_, as_json=place.as_json)
        return
    raise typer.Exit(scopes.grant_quota(place.data_dir, to, asked, key or [], as_json=place.as_json))


@token_app.command("grant")
@placed
def token_grant(
    to: To,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="How many in each period.")],
    burst: Annotated[int, typer.Option("--burst", min=1, help="How many at once, at most.")],
    until: Annotated[str, typer.Option("--until", help="End: RFC 3339, or ms since 1970. They expire then.")],
    from_: Annotated[str | None, typer.Option("--from", help="Begin, likewise (default: now).")] = None,
    period_ms: Annotated[int, typer.Option("--period-ms", min=1, help="Length of a period.")] = 60_000,
    key: AboveKeys = None,
    as_: As = "root",
    *,
    place: Place,
) -> None:
    """Grant tokens to a tenant, signed by admins of the scope above. A placement takes one for each slot and enclave.

    They are never handed on, and expire. A tenant that was never granted any is not limited. Ends with 3 when there
    is a warning.
    """
    from infrastructure.cli import remoting_grants, scopes

    begins_ms, ends_ms = None if from_ is None else instant(from_), instant(until)
    at = place.there()
    if at is not None:
        rate = {"tokens": tokens, "period_ms": period_ms, "burst": burst}
        remoting_grants.grant_tokens(at, to, rate, begins_ms, ends_ms, key or [], as_, as_json=place.as_json)
        return
    code = scopes.grant_tokens(
        place.data_dir, to, tokens=tokens, period_ms=period_ms, burst=burst, from_ms=begins_ms, until_ms=ends_ms,
        keys=key or [], as_json=place.as_json,
    )  # fmt: skip
    raise typer.Exit(code)


@levels_app.command("adopt")
@placed
def levels_adopt(
    domains: Annotated[list[str], typer.Argument(metavar="DOMAIN...", help="Highest first; others come last.")],
    root_key: RootKeys = None,
    as_: As = "root",
    *,
    place: Place,
) -> None:
    """Adopt the order in which priority domains are served, by the root scope."""
    from infrastructure.cli import remoting, scopes

    at = place.there()
    if at is not None:
        claims = {"act": "adopt_levels", "domains": domains}
        lines = [f"priority: {' > '.join(domains)}, then all others"]
        remoting.act(at, "/v1/levels", claims, root_key or [], as_, lines, as_json=place.as_json)
        return
    scopes.adopt_levels(place.data_dir, domains, root_key or [], as_json=place.as_json)


@scope_app.command("register")
@placed
def scope_register(
    name: Annotated[str, typer.Option("--name", help="What people call it; once in a cell.")],
    kind: Annotated[str, typer.Option("--kind", help="treaty or jurisdiction.")],
    key: Keys = None,
    threshold: Annotated[int, typer.Option("--threshold", min=1, max=16, help="Admins needed for an act.")] = 1,
    parent: Annotated[str, typer.Option("--parent", help="The scope above.")] = "root",
    parent_key: Annotated[
        list[Path] | None,
        typer.Option("--parent-key", help="Admin of the scope above (default: the root's of `init`)."),
    ] = None,
    *,
    place: Place,
) -> None:
    """Register a scope: --key are its admins, who accept; those of the scope above endorse.

    Tenants register below it with `tenant register --scope NAME`; it endorses them and issues their credentials.
    """
    from infrastructure.cli import remoting_registrations, scopes

    at = place.there()
    if at is not None:
        remoting_registrations.scope(
            at, name=name, kind=kind, keys=key or [], threshold=threshold, parent=parent,
            parent_keys=parent_key or [], as_json=place.as_json,
        )  # fmt: skip
        return
    scopes.register_scope(
        place.data_dir, name=name, kind=kind, keys=key or [], threshold=threshold, parent=parent,
        parent_keys=parent_key or [], as_json=place.as_json,
    )  # fmt: skip


@scope_app.command("enrol-issuer")
@placed
def scope_enrol_issuer(
    did: Annotated[str, typer.Argument(metavar="DID", help="did:key or did:web (`credential did`).")],
    scope: Annotated[str, typer.Option("--scope", help="Scope in whose name it issues.")] = "root",
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Let a DID issue credentials in a scope's name, signed by the scope's admins (root: init's)."""
    from infrastructure.cli import remoting, scopes

    at = place.there()
    if at is not None:
        claims = {"act": "enrol_issuer", "did": did}
        lines = [f"{did} issues in the name of {scope}"]
        remoting.act(at, "/v1/issuers", claims, key or [], scope, lines, as_json=place.as_json)
        return
    scopes.enrol_issuer(place.data_dir, scope, did, key or [], as_json=place.as_json)


@scope_app.command("revoke-issuer")
@placed
def scope_revoke_issuer(
    did: Annotated[str, typer.Argument(metavar="DID", help="The issuer.")],
    reason: Reason,
    scope: Annotated[str, typer.Option("--scope", help="Scope in whose name it issued.")] = "root",
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Withdraw an issuer for ever, e.g. one whose key was stolen. Every credential that it issued ends at once."""
    from infrastructure.cli import remoting, scopes

    at = place.there()
    if at is not None:
        claims = {"act": "revoke_issuer", "did": did, "reason": reason}
        lines = [f"{did} issues nothing more in the name of {scope}; what it issued has ended"]
        remoting.act(at, "/v1/issuers/revocations", claims, key or [], scope, lines, as_json=place.as_json)
        return
    scopes.revoke_issuer(place.data_dir, scope, did, reason, key or [], as_json=place.as_json)


@scope_app.command("list")
def scope_list(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """List the scopes of this cell."""
    from infrastructure.cli import scopes

    scopes.list_scopes(data_dir, as_json=as_json)


@monitor_app.command("appoint")
@placed
def monitor_appoint(
    name: Annotated[str, typer.Option("--name", help="Who is told, as policies name it.")],
    tenant: Tenant,
    kind: Annotated[str, typer.Option("--kind", help="treaty_monitor or parent_dao.")] = "treaty_monitor",
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Appoint who is told of a tenant's faults, signed by its admins."""
    from infrastructure.cli import remoting, scopes

    at = place.there()
    if at is not None:
        claims = {"act": "appoint_monitor", "name": name, "kind": kind}
        lines = [f"{name} is told of faults of {tenant}"]
        remoting.act(at, "/v1/monitors", claims, key or [], tenant, lines, as_json=place.as_json)
        return
    scopes.appoint_monitor(place.data_dir, tenant, name, kind, key or [], as_json=place.as_json)


def quotas(tenant: OnlyTenant = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show the tree of quotas: own, to borrow, to lend, used and borrowed now (operator's view, tenants by slot)."""
    from infrastructure.cli import scopes

    scopes.show_quotas(data_dir, tenant, as_json=as_json)
