"""Options of the commands about usage. What they do is in infrastructure.cli.metering."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.app_audit import PolicyFile
from infrastructure.cli.options import (
    DEFAULT_DATA_DIR,
    Ca,
    DataDir,
    Json,
    Keys,
    OnlyTenant,
    Profile,
    Server,
    Tenant,
    group,
    instant,
)

usage_app = group("Usage: what executions used, statements by period, and their verification.")

When = "RFC 3339, or ms since 1970."


@usage_app.callback(invoke_without_command=True, no_args_is_help=False)
def usage(
    context: typer.Context, tenant: OnlyTenant = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Show what was metered for each tenant, by slot; for one tenant also by day."""
    if context.invoked_subcommand is not None:
        return
    from infrastructure.cli import metering

    metering.show_usage(data_dir, tenant, as_json=as_json)


@usage_app.command("statement")
def usage_statement(
    tenant: Tenant,
    from_: Annotated[str, typer.Option("--from", help=f"First instant of the period: {When}")],
    to: Annotated[str, typer.Option("--to", help=f"The instant after its last: {When}")],
    out: Annotated[Path | None, typer.Option("--out", help="Write it to a file that is not there yet.")] = None,
    key: Keys = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    server: Server = None,
    profile: Profile = None,
    ca: Ca = None,
    as_json: Json = False,
) -> None:
    """State what a tenant used in [from, to): a line for each execution, naming its entry; sums in all and by node."""
    from infrastructure.cli import metering, remoting

    period = instant(from_), instant(to)
    at = remoting.there(server, profile, ca)
    if at is not None:
        metering.fetch_statement(at, key or [], tenant, period, out, as_json=as_json)
        return
    metering.state_usage(data_dir, tenant, period, out, as_json=as_json)


@usage_app.command("nodes")
def usage_nodes(
    operator: Annotated[str | None, typer.Option("--operator", help="Only this operator's nodes.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help=f"Midnight (UTC) before the first day: {When}")] = None,
    to: Annotated[str | None, typer.Option("--to", help=f"Midnight (UTC) after the last day: {When}")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show what nodes were used for, all tenants together, by operator and node."""
    from infrastructure.cli import metering

    period = tuple(None if one is None else instant(one) for one in (from_, to))
    metering.show_nodes(data_dir, operator, (period[0], period[1]), as_json=as_json)


@usage_app.command("verify")
def usage_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A statement of usage.")],
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle of its log, with keys.")],
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", help="Verifier key from outside, or a file.")
    ] = None,
    policy: PolicyFile = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Verify a statement of usage offline: every line against its entry, and that none is missing.

    Exit 0: it holds. 1: refused. 3: its lines hold, and the bundle does not show that none is missing.
    """
    from infrastructure.cli import metering

    raise typer.Exit(metering.verify_usage(file, bundle, log_key or [], policy, as_json=as_json))
