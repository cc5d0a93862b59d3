"""Options of the commands that submit, execute and explain. What they do is in infrastructure.cli.operate."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, Ack, DataDir, Json, Key, Keys, NoRun, Tenant, group

retry_app = group("Re-authorisation after a fault.")
cac_app = group("CACs: signed results.")


def submit(
    file: Path, tenant: Tenant, key: Key, no_run: NoRun = False, ack: Ack = None,
    data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False,
) -> None:  # fmt: skip
    """Submit the workload in FILE: {"clause_id", "resource_class", "bounds", "inputs": [{"file": ...}]}."""
    from infrastructure.cli import operate

    operate.submit(data_dir, file, key, tenant, run=not no_run, ack=ack, as_json=as_json)


def work(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Decide and execute on this installation's nodes until nothing is left to do."""
    from infrastructure.cli import operate

    operate.run_work(data_dir, as_json=as_json)


def decide(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Decide what comes until interrupted, or stand by while another process does and take over when it is gone."""
    from infrastructure.cli import operate

    operate.decide(data_dir)


def cancel(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Waiting workload.")],
    tenant: Tenant,
    key: Key,
    ack: Ack = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Take a waiting workload back."""
    from infrastructure.cli import operate

    operate.cancel(data_dir, id_, key, tenant, ack=ack, as_json=as_json)


def queue(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show who waits and what is free (operator's view, tenants by slot)."""
    from infrastructure.cli import operate

    operate.show_queue(data_dir, as_json=as_json)


@retry_app.command("authorize")
def retry_authorize(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Held workload, or its faulted execution.")],
    key: Keys = None,
    fuel: Annotated[int | None, typer.Option("--fuel", help="New bound on fuel.")] = None,
    memory_bytes: Annotated[int | None, typer.Option("--memory-bytes", help="New bound on memory.")] = None,
    wall_ms: Annotated[int | None, typer.Option("--wall-ms", help="New bound on time.")] = None,
    no_run: NoRun = False,
    ack: Ack = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Let a held workload run again, signed by those whom the tenant's policy names."""
    from infrastructure.cli import operate

    given = {"fuel": fuel, "memory_bytes": memory_bytes, "wall_ms": wall_ms}
    bounds = {name: value for name, value in given.items() if value is not None}
    operate.retry(data_dir, id_, key or [], bounds, run=not no_run, ack=ack, as_json=as_json)


@retry_app.command("refuse")
def retry_refuse(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Held workload, or its faulted execution.")],
    key: Keys = None,
    ack: Ack = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Let a held workload stay held, signed by those whom the tenant's policy names."""
    from infrastructure.cli import operate

    operate.refuse_retry(data_dir, id_, key or [], ack=ack, as_json=as_json)


@cac_app.command("list")
def cac_list(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """List CACs."""
    from infrastructure.cli import operate

    operate.list_cacs(data_dir, tenant, as_json=as_json)


@cac_app.command("show")
def cac_show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="cac-0x...")],
    output: Annotated[bool, typer.Option("--output", help="Open the output with the tenant's key.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show a CAC as its enclave signed it."""
    from infrastructure.cli import operate

    operate.show_cac(data_dir, id_, opened=output, as_json=as_json)


def why(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Workload, execution or CAC.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Explain what became of it: every gate passed or failed, rule, policy, and when it is looked at again."""
    from infrastructure.cli import operate

    operate.why(data_dir, id_, as_json=as_json)


def demo(
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same history (but for keys).")] = 1,
    data_dir: DataDir = Path(".demo"),
    as_json: Json = False,
) -> None:
    """Run several DAOs' clauses on real observations, from submission to verified bundles."""
    from infrastructure.cli import showing

    raise typer.Exit(showing.demo(data_dir, seed, as_json=as_json))
