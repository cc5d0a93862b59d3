"""Options of `feed` and `projections`. What they do is in infrastructure.cli.feeding."""

from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, group

projections_app = group("Read models: how they stand, keeping them live, building them again.")

_Tenant = Annotated[str | None, typer.Option("--tenant", help="Only this one's: DAO/JUR, its id, platform or root.")]


def feed(
    tenant: _Tenant = None,
    after: Annotated[
        int | None,
        typer.Option("--after", min=-1, help="After this leaf index (of all logs: this feed position)."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes, until interrupted.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as one JSON object on a line.")] = False,
) -> None:
    """Print the events of a log, or of all, in order; their content where this keyring opens it."""
    from infrastructure.cli import feeding

    feeding.print_feed(data_dir, tenant, after, follow=follow, limit=limit, as_json=as_json)


@projections_app.command("status")
def status(tenant: _Tenant = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show how far each read model is, how far behind, and what stops it (exit code 3 if anything does)."""
    from infrastructure.cli import feeding

    raise typer.Exit(feeding.show_status(data_dir, tenant, as_json=as_json))


@projections_app.command("run")
def run(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Keep the read models live until interrupted. Several processes share the work, and take over from each other."""
    from infrastructure.cli import feeding

    feeding.run(data_dir, as_json=as_json)


@projections_app.command("rebuild")
def rebuild(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this one, such as isolation.")] = None,
    tenant: _Tenant = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Fold read models again from the first event, beside the live ones; then let these be read."""
    from infrastructure.cli import feeding

    raise typer.Exit(feeding.rebuild(data_dir, name, tenant, as_json=as_json))
