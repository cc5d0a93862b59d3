"""Options of the witness's commands. What they do is in infrastructure.cli.witnessing."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, DataDir, Json, group

witness_app = group("A small witness for tests and small deployments (c2sp.org/tlog-witness).")

Directory = Annotated[Path, typer.Argument(help="Where the witness keeps its key, memory and evidence.")]


@witness_app.command("init")
def witness_init(
    directory: Directory,
    name: Annotated[str, typer.Option("--name", help="Its key name, e.g. witness.example/w1.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Make a witness: its keys and its empty memory."""
    from infrastructure.cli import witnessing

    witnessing.init(directory, name, as_json=as_json)


@witness_app.command("keys")
def witness_keys(directory: Directory, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show a witness's verifier keys, for policies."""
    from infrastructure.cli import witnessing

    witnessing.keys(directory, as_json=as_json)


@witness_app.command("serve")
def witness_serve(
    directory: Directory,
    log_keys: Annotated[Path, typer.Option("--log-keys", help="Verifier keys of the logs it serves, one a line.")],
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 for a free one.")] = 7380,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Answer add-checkpoint requests until interrupted."""
    from infrastructure.cli import witnessing

    witnessing.serve_until_interrupted(directory, log_keys, host, port, as_json=as_json)
