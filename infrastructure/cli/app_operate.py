"""Options of the commands that submit, execute and explain. What they do is in infrastructure.cli.operate."""

from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import (
    DEFAULT_DATA_DIR,
    Ack,
    DataDir,
    Json,
    Keys,
    MaybeKey,
    MaybeTenant,
    NoRun,
    OnlyTenant,
    Place,
    Wait,
    given,
    group,
    instant,
    placed,
)

retry_app = group("Re-authorisation after a fault.")


@placed
def submit(
    file: Path, tenant: MaybeTenant = None, key: MaybeKey = None, no_run: NoRun = False, wait: Wait = 0,
    ack: Ack = None, *, place: Place,
) -> None:  # fmt: skip
    """Submit the workload in FILE: {"clause_id", "resource_class", "bounds", "inputs": [{"file": ...}]}.

    At a server (--server, --profile) it is handed in, and its nodes run it: --wait or `why` tells what became of it.
    """
    from infrastructure.cli import operate, remoting

    at = place.there()
    if at is not None:
        remoting.submit(at, file, [key] if key else [], tenant, wait_s=wait, ack=ack, as_json=place.as_json)
        return
    wallet, named = given(key, "--key"), given(tenant, "--tenant")
    operate.submit(place.data_dir, file, wallet, named, run=not no_run, ack=ack, as_json=place.as_json)


def work(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Decide and execute on this installation's nodes until nothing is left to do."""
    from infrastructure.cli import operate

    operate.run_work(data_dir, as_json=as_json)


def decide(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Decide what comes until interrupted, or stand by while another process does and take over when it is gone."""
    from infrastructure.cli import operate

    operate.decide(data_dir)


@placed
def cancel(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Waiting workload.")],
    tenant: MaybeTenant = None,
    key: MaybeKey = None,
    ack: Ack = None,
    *,
    place: Place,
) -> None:
    """Take a waiting workload back."""
    from infrastructure.cli import operate, remoting

    at = place.there()
    if at is not None:
        remoting.cancel(at, id_, [key] if key else [], tenant, ack=ack, as_json=place.as_json)
        return
    operate.cancel(place.data_dir, id_, given(key, "--key"), given(tenant, "--tenant"), ack=ack, as_json=place.as_json)


def queue(tenant: OnlyTenant = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show who waits and what is free (operator's view, tenants by slot), or one tenant's own that wait."""
    from infrastructure.cli import operate

    operate.show_queue(data_dir, tenant, as_json=as_json)


def nodes(tenant: OnlyTenant = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Show the nodes with what is free on them (operator's view), or what a tenant may know of them."""
    from infrastructure.cli import operate

    operate.show_nodes(data_dir, tenant, as_json=as_json)


@retry_app.command("authorize")
@placed
def retry_authorize(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Held workload, or its faulted execution.")],
    key: Keys = None,
    fuel: Annotated[int | None, typer.Option("--fuel", help="New bound on fuel.")] = None,
    memory_bytes: Annotated[int | None, typer.Option("--memory-bytes", help="New bound on memory.")] = None,
    wall_ms: Annotated[int | None, typer.Option("--wall-ms", help="New bound on time.")] = None,
    tenant: OnlyTenant = None,
    no_run: NoRun = False,
    wait: Wait = 0,
    ack: Ack = None,
    *,
    place: Place,
) -> None:
    """Let a held workload run again, signed by those whom the tenant's policy names.

    At a server the first --key asks, for --tenant.
    """
    from infrastructure.cli import operate, remoting

    asked = {"fuel": fuel, "memory_bytes": memory_bytes, "wall_ms": wall_ms}
    bounds = {name: value for name, value in asked.items() if value is not None}
    at = place.there()
    if at is not None:
        remoting.retry(at, id_, key or [], tenant, bounds, wait_s=wait, ack=ack, as_json=place.as_json)
        return
    operate.retry(place.data_dir, id_, key or [], bounds, run=not no_run, ack=ack, as_json=place.as_json)


@retry_app.command("refuse")
@placed
def retry_refuse(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Held workload, or its faulted execution.")],
    key: Keys = None,
    tenant: OnlyTenant = None,
    ack: Ack = None,
    *,
    place: Place,
) -> None:
    """Let a held workload stay held, signed by those whom the tenant's policy names."""
    from infrastructure.cli import operate, remoting

    at = place.there()
    if at is not None:
        lines = [f"{id_} stays held"]
        claims = {"act": "refuse_retry", "execution": id_}
        remoting.act(at, "/v1/retries", claims, key or [], tenant, lines, ack=ack, as_json=place.as_json)
        return
    operate.refuse_retry(place.data_dir, id_, key or [], ack=ack, as_json=place.as_json)


@placed
def why(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Workload, execution or CAC.")],
    at: Annotated[str | None, typer.Option("--at", help="As of this instant: RFC 3339, or ms since 1970.")] = None,
    proof: Annotated[
        Path | None, typer.Option("--proof", help="Write the proof of the deciding entry to this new file.")
    ] = None,
    tenant: OnlyTenant = None,
    key: Keys = None,
    *,
    place: Place,
) -> None:
    """Explain where it is: gates, rule, own have and need, nodes by rule, place, and when it is looked at again.

    --tenant and --key say who asks a server; in a data directory nobody has to.
    """
    from infrastructure.cli import explaining, remoting

    at_ms, there = None if at is None else instant(at), place.there()
    if there is None:
        explaining.why(place.data_dir, id_, at_ms=at_ms, proof=proof, as_json=place.as_json)
        return
    if proof is not None:
        raise typer.BadParameter("--proof is for a data directory")
    remoting.why(there, id_, key or [], tenant, at_ms=at_ms, as_json=place.as_json)


def demo(
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, help="Same seed, same history (but for keys); with --serve the same questions."),
    ] = 1,
    serve: Annotated[
        bool, typer.Option("--serve", help="As a service: real processes over HTTP, in real time.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="With --serve: leave the service up until TERM or Ctrl-C.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="With --serve: of the service; 0 for a free one.")
    ] = 0,
    data_dir: DataDir = Path(".demo"),
    as_json: Json = False,
) -> None:
    """Run several DAOs' clauses on real observations, from submission to verified bundles.

    With --serve the same story is carried out by `serve`, nodes (`node run`) and releasers (`release run`): everything
    after the founding goes over HTTP, by clients that believe no answer. All of them end with the demo.
    """
    from infrastructure.cli import showing

    if not serve and (keep or port):
        raise typer.BadParameter("--keep and --port go with --serve")
    if serve:
        raise typer.Exit(showing.served_demo(data_dir, seed, port, keep=keep, as_json=as_json))
    raise typer.Exit(showing.demo(data_dir, seed, as_json=as_json))
