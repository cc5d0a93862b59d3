"""Options of what stands: serve, node run, node machine. What they do is in infrastructure.cli.serving."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from infrastructure.cli.options import DEFAULT_DATA_DIR, PRIMARY_POOL, DataDir, Json, Key, Pool


class RoleName(StrEnum):
    """What a process may do of what `serve` does."""

    API = "api"
    DECIDER = "decider"
    PUBLISHER = "publisher"
    PROJECTOR = "projector"
    ALL = "all"


class LogForm(StrEnum):
    """How a standing process says what it has to say."""

    TEXT = "text"
    JSON = "json"


def serve(
    host: Annotated[
        str,
        typer.Option(
            "--host", envvar="LEDGER_SERVE_HOST", help="Address to listen on; beyond loopback to answer takes TLS."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", envvar="LEDGER_SERVE_PORT", min=0, max=65535, help="0 for a free one.")
    ] = 8080,
    tls_cert: Annotated[
        Path | None,
        typer.Option("--tls-cert", envvar="LEDGER_SERVE_TLS_CERT", help="Certificate chain (PEM) to serve with."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", envvar="LEDGER_SERVE_TLS_KEY", help="Its private key (PEM).")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            envvar="LEDGER_SERVE_URL",
            help="https URL by which nodes know it, where a proxy ends TLS before it.",
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy",
            envvar="LEDGER_SERVE_TRUSTED_PROXY",
            help="Address or CIDR of a proxy whose X-Forwarded-For or Forwarded counts; repeat it.",
        ),
    ] = None,
    role: Annotated[
        list[RoleName] | None,
        typer.Option(
            "--role",
            envvar="LEDGER_SERVE_ROLE",
            help="Only this role; repeat it. Without it this process is alone and has all.",
        ),
    ] = None,
    log: Annotated[
        LogForm,
        typer.Option(
            "--log", envvar="LEDGER_SERVE_LOG", help="What it says on stderr: words, or a JSON line an event."
        ),
    ] = LogForm.TEXT,
    requests_per_s: Annotated[
        float,
        typer.Option(
            "--requests-per-s",
            envvar="LEDGER_SERVE_REQUESTS_PER_S",
            min=1,
            help="Of one node, tenant or scope; twice as many at once.",
        ),
    ] = 2_000,
    stranger_requests_per_s: Annotated[
        float,
        typer.Option(
            "--stranger-requests-per-s",
            envvar="LEDGER_SERVE_STRANGER_REQUESTS_PER_S",
            min=1,
            help="From one address without a token; ten times as many at once.",
        ),
    ] = 20,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Serve nodes over HTTP, decide, publish and project, until TERM. An empty directory is founded first."""
    from infrastructure.api.limits import Allowed
    from infrastructure.api.serve import Outside
    from infrastructure.cli import serving

    outside = Outside(tls_cert, tls_key, url, tuple(trusted_proxy or ()))
    serving.serve(
        data_dir, host, port, outside=outside, roles=_roles(role or ()), json_log=log is LogForm.JSON, as_json=as_json,
        allowed=Allowed(requests_per_s, stranger_requests_per_s),
    )  # fmt: skip


def _roles(given: Sequence[RoleName]) -> frozenset[str]:
    """Return the roles' names; none where this process is alone."""
    every = {one.value for one in RoleName} - {RoleName.ALL.value}
    return frozenset(every if RoleName.ALL in given else {one.value for one in given})


Platform = Annotated[
    str, typer.Option("--platform", help="Its evidence: software, or a synthetic machine: snp, sgx, tdx.")
]
NodeDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where the node keeps journal and machine (default: beside its key).")
]


def node_run(
    server: Annotated[str, typer.Option("--server", help="URL of the ledger: https://HOST, or http://127.0.0.1:8080.")],
    key: Key,
    slots: Annotated[int | None, typer.Option("--slots", min=1, max=4096, help="Executions at the same time.")] = None,
    credential: Annotated[
        Path | None, typer.Option("--credential", help="The node's credential, to enrol with where it isn't yet.")
    ] = None,
    memory_mib: Annotated[int, typer.Option("--memory-mib", min=1, help="Memory for enclaves, when it enrols.")] = 512,
    pool: Pool = PRIMARY_POOL,
    platform: Platform = "software",
    ca: Annotated[
        Path | None,
        typer.Option("--ca", help="Certificates (PEM) that the ledger's TLS rests on (default: the system's)."),
    ] = None,
    node_dir: NodeDir = None,
    as_json: Json = False,
) -> None:
    """Run an enrolled node: take executions from a ledger, run them, report them, until TERM."""
    from infrastructure.cli import node_running

    raise typer.Exit(
        node_running.run(
            server, key, slots=slots, credential=credential, memory_mib=memory_mib, pool=pool, node_dir=node_dir,
            platform=platform, ca=ca, as_json=as_json,
        )
    )  # fmt: skip


def node_machine(key: Key, platform: Platform = "software", node_dir: NodeDir = None, as_json: Json = False) -> None:
    """Show a node's DID, platform id and root: what its credential, and the operator of a ledger, have to name."""
    from infrastructure.cli import node_running

    node_running.show_machine(key, node_dir=node_dir, platform=platform, as_json=as_json)
