"""Options of `simulate`. What it does is in infrastructure.cli.simulating."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json


def simulate(
    nodes: Annotated[Path, typer.Option("--nodes", help="JSON Lines: one node a line.")],
    workloads: Annotated[Path, typer.Option("--workloads", help="JSON Lines: one workload a line.")],
    policies: Annotated[
        Path | None,
        typer.Option(
            "--policies",
            help="Directory of what is in force: DAO-JUR.json (policies), levels.json, quotas.json, tokens.json, "
            "overflow.json, each optional (default: no quotas, no tokens, equal weights, overflow allowed).",
        ),
    ] = None,
    placements: Annotated[
        Path | None, typer.Option("--placements", help="Write one JSON line for each enclave to this file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw queue length, utilisation and waits over time, as a PNG file.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Run a workload file through the cell's own decisions in virtual time. Nothing of a ledger is read or changed."""
    from infrastructure.cli import simulating

    raise typer.Exit(simulating.simulate(nodes, workloads, policies, placements, plot, as_json=as_json))
