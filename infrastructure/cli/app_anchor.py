"""Options of the anchor log's commands and of `trust`. What they do is in infrastructure.cli.anchoring."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, Tenant, group

anchor_app = group("The anchor log: one witnessed log that covers every tenant's.")
trust_app = group("What auditors are given.")

RoundsRange = Annotated[str | None, typer.Option("--rounds", help="A..B, both included (default: the 10,000 newest).")]


@anchor_app.command("run")
def anchor_run(
    once: Annotated[bool, typer.Option("--once", help="One round now, whenever the last one was.")] = False,
    every: Annotated[int, typer.Option("--every", min=1, max=86_400, help="Cadence in seconds.")] = 60,
    rounds: Annotated[int | None, typer.Option("--rounds", min=1, help="Stop after this many.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Publish all logs, then make a round and have it witnessed, at a fixed cadence until interrupted."""
    from infrastructure.cli import anchoring

    if once and rounds is not None:
        raise typer.BadParameter("--once is one round; leave out --rounds")
    raise typer.Exit(anchoring.run(data_dir, every, 1 if once else rounds, at_once=once, as_json=as_json))


@anchor_app.command("status")
def anchor_status(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show the last round, what is published, each witness, and what any holds against us."""
    from infrastructure.cli import anchoring

    raise typer.Exit(anchoring.status(data_dir, as_json=as_json))


@anchor_app.command("open")
def anchor_open(
    tenant: Tenant,
    out: Annotated[Path, typer.Option("--out", help="Directory that is missing or empty.")],
    rounds: RoundsRange = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Write the openings of a tenant's slot as tlog-proof files: for the tenant and its auditors."""
    from infrastructure.cli import anchoring

    anchoring.open_rounds(data_dir, tenant, out, rounds_range(rounds), as_json=as_json)


@anchor_app.command("thaw")
def anchor_thaw(
    source: Annotated[
        Path | None, typer.Option("--from", help="A mirror of the published anchor log (default: our own).")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Give a frozen anchor log its missing rounds back, and let it go on. A witness that lied: take it out before."""
    from infrastructure.cli import anchoring

    anchoring.thaw_anchors(data_dir, source, as_json=as_json)


@trust_app.command("export")
def trust_export(
    out: Annotated[Path, typer.Option("--out", help="The policy's file; with --tenant also OUT.json, its own secret.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Whose log (default: the anchor log alone).")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Write what an auditor needs from outside: a tlog-policy of log keys and witnesses, and the slot's key."""
    from infrastructure.cli import anchoring

    anchoring.export_trust(data_dir, tenant, out, as_json=as_json)


def rounds_range(text: str | None) -> tuple[int, int] | None:
    """Read A..B.

    Raises:
        BadParameter: for any other form.
    """
    if text is None:
        return None
    first, dots, last = text.partition("..")
    if not dots or not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in (first, last)):  # noqa: PLR2004
        raise typer.BadParameter("a range of rounds is A..B, e.g. 0..59")
    if int(first) > int(last):
        raise typer.BadParameter("a range of rounds is A..B, with A not above B")
    return int(first), int(last)
