"""The commands and their options. What they do is imported only when they run: `--help` stays fast.

Invariants:
- Every command takes --data-dir and --json; those that act take --key.
- A usage error ends with 64, a refusal with 1, what can't be reached with 69 (infrastructure.cli.output).
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
import typer.exceptions

_HELP = "Event-sourced, verifiable ledger for secure multitenancy in trusted execution environments."

app = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None, add_completion=False)
key_app = typer.Typer(help="Wallets: a principal's own keys.", no_args_is_help=True, rich_markup_mode=None)
tenant_app = typer.Typer(help="Tenants: a DAO in one jurisdiction.", no_args_is_help=True, rich_markup_mode=None)
clause_app = typer.Typer(help="Clauses: governed programs.", no_args_is_help=True, rich_markup_mode=None)
policy_app = typer.Typer(help="Policies of a tenant.", no_args_is_help=True, rich_markup_mode=None)
node_app = typer.Typer(help="Nodes: machines that execute.", no_args_is_help=True, rich_markup_mode=None)
retry_app = typer.Typer(help="Re-authorisation after a fault.", no_args_is_help=True, rich_markup_mode=None)
cac_app = typer.Typer(help="CACs: signed results.", no_args_is_help=True, rich_markup_mode=None)
audit_app = typer.Typer(help="Export, verify and replay histories.", no_args_is_help=True, rich_markup_mode=None)
for _name, _group in (
    ("key", key_app),
    ("tenant", tenant_app),
    ("clause", clause_app),
    ("policy", policy_app),
    ("node", node_app),
    ("retry", retry_app),
    ("cac", cac_app),
    ("audit", audit_app),
):
    app.add_typer(_group, name=_name)

DataDir = Annotated[Path, typer.Option("--data-dir", envvar="LEDGER_DATA_DIR", help="Where this ledger lives.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]
Keys = Annotated[list[Path] | None, typer.Option("--key", help="Acting wallet; repeat it for several signatures.")]
Key = Annotated[Path, typer.Option("--key", help="Acting wallet.")]
RootKeys = Annotated[list[Path] | None, typer.Option("--root-key", help="Root scope's wallet (default: init's).")]
Tenant = Annotated[str, typer.Option("--tenant", help="Tenant: DAO/JUR or its id.")]
NoRun = Annotated[bool, typer.Option("--no-run", help="Only hand it in; `work` or a later command executes.")]
DEFAULT_DATA_DIR = Path("data")


@key_app.command("new")
def key_new(
    file: Path, name: Annotated[str, typer.Option("--name", help="The person or machine behind it.")],
    data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False,
) -> None:  # fmt: skip
    """Make a wallet: one key for each purpose, in a file that only you can read."""
    from infrastructure.cli import govern

    govern.new_key(file, name, as_json=as_json)


@app.command("init")
def init(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    host: Annotated[str, typer.Option("--host", help="Name of this ledger in every origin.")] = "ledger.example",
    key: Keys = None,
    threshold: Annotated[int, typer.Option("--threshold", min=1, max=16, help="Root admins needed for an act.")] = 1,
    levels: Annotated[str, typer.Option("--levels", help="Priority domains, highest first.")] = (
        "Disaster,Health,Finance,Planning"
    ),
    as_json: Json = False,
) -> None:
    """Write the genesis: cell, platform log, root scope and its keys. Nothing is accepted before it."""
    from infrastructure.cli import govern

    domains = [name.strip() for name in levels.split(",") if name.strip()]
    govern.init(data_dir, host, key or [], threshold, domains, as_json=as_json)


@tenant_app.command("register")
def tenant_register(
    dao: Annotated[str, typer.Option("--dao", help="Name of the DAO.")],
    jurisdiction: Annotated[str, typer.Option("--jurisdiction", help="ISO 3166-1 alpha-3, or EU, WFP, ...")],
    clause: Annotated[list[str], typer.Option("--clause", help="Clause family granted: Namespace::Domain::Name.")],
    resource_class: Annotated[list[str], typer.Option("--class", help="Resource class granted: Domain::Name@v1.")],
    key: Keys = None,
    root_key: RootKeys = None,
    threshold: Annotated[int, typer.Option("--threshold", min=1, max=16, help="Admins needed for an act.")] = 1,
    valid_days: Annotated[int, typer.Option("--valid-days", min=1, max=3650, help="Life of its credential.")] = 365,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Register a tenant: --key are its admins, who accept; the root scope endorses and grants its TEEExecutorVC."""
    from infrastructure.cli import govern

    govern.register_tenant(
        data_dir,
        dao=dao,
        jurisdiction=jurisdiction,
        keys=key or [],
        root_keys=root_key or [],
        families=clause,
        classes=resource_class,
        threshold=threshold,
        valid_days=valid_days,
        as_json=as_json,
    )


@tenant_app.command("list")
def tenant_list(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """List the tenants of this cell."""
    from infrastructure.cli import govern

    govern.list_tenants(data_dir, as_json=as_json)


@clause_app.command("register")
def clause_register(
    file: Path, tenant: Tenant, key: Keys = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Register a clause from FILE (JSON: metadata, and "module" with the path of its .wasm or .wat)."""
    from infrastructure.cli import govern

    govern.register_clause(data_dir, file, key or [], tenant, as_json=as_json)


@policy_app.command("adopt")
def policy_adopt(
    file: Path, tenant: Tenant, key: Keys = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Put the policy in FILE in force: {"rules": [{"kind": "in_country"}, ...]}."""
    from infrastructure.cli import govern

    govern.adopt_policy(data_dir, file, key or [], tenant, as_json=as_json)


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
    }
    govern.enrol_node(data_dir, facts, key, root_key or [], as_json=as_json)


@app.command("submit")
def submit(
    file: Path, tenant: Tenant, key: Key, no_run: NoRun = False, data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Submit the workload in FILE: {"clause_id", "resource_class", "bounds", "inputs": [{"file": ...}]}."""
    from infrastructure.cli import operate

    operate.submit(data_dir, file, key, tenant, run=not no_run, as_json=as_json)


@app.command("work")
def work(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Decide and execute on this installation's nodes until nothing is left to do."""
    from infrastructure.cli import operate

    operate.run_work(data_dir, as_json=as_json)


@app.command("queue")
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
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Let a held workload run again, signed by those whom the tenant's policy names."""
    from infrastructure.cli import operate

    given = {"fuel": fuel, "memory_bytes": memory_bytes, "wall_ms": wall_ms}
    bounds = {name: value for name, value in given.items() if value is not None}
    operate.retry(data_dir, id_, key or [], bounds, run=not no_run, as_json=as_json)


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


@app.command("why")
def why(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Workload, execution or CAC.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Explain what became of it: every gate passed or failed, rule, policy, and when it is looked at again."""
    from infrastructure.cli import operate

    operate.why(data_dir, id_, as_json=as_json)


@audit_app.command("export")
def audit_export(
    tenant: Annotated[str, typer.Option("--tenant", help="Tenant (DAO/JUR or id), `platform` or `root`.")],
    out: Annotated[Path, typer.Option("--out", help="Directory that is missing or empty.")],
    with_keys: Annotated[
        str | None, typer.Option("--with-keys", help="Disclose keys: all, or streams separated by commas.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Export a log as a C2SP tile log that outsiders can verify."""
    from infrastructure.cli import auditing

    auditing.export(data_dir, tenant, out, with_keys, as_json=as_json)


@audit_app.command("verify")
def audit_verify(
    directory: Path,
    log_key: Annotated[
        list[str] | None, typer.Option("--log-key", help="Verifier key from outside, or a file.")
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="A later version's: needs witnesses.")] = None,
    max_age: Annotated[str | None, typer.Option("--max-age", help="A later version's: needs witnesses.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Verify a log's directory offline, with nothing but it and, for authenticity, a key from outside."""
    from infrastructure.cli import auditing

    if policy is not None or max_age is not None:
        raise typer.BadParameter("--policy and --max-age need witnesses, which this version does not have yet")
    raise typer.Exit(auditing.verify(directory, log_key or [], as_json=as_json))


@audit_app.command("replay")
def audit_replay(
    directory: Annotated[Path | None, typer.Argument(help="A bundle with keys.json.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="From the database instead.")] = None,
    size: Annotated[int | None, typer.Option("--size", min=0, help="Fold this many entries.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="Fold up to this instant: RFC 3339, or ms since 1970.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Fold a history again, at any size or time; at the head it must equal the live read models."""
    from infrastructure.cli import auditing

    if (directory is None) == (tenant is None):
        raise typer.BadParameter("name a bundle's directory, or --tenant")
    at_ms = None if at is None else _instant(at)
    raise typer.Exit(auditing.replay(directory, data_dir, tenant, size=size, at_ms=at_ms, as_json=as_json))


@app.command("demo")
def demo(
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same history (but for keys).")] = 1,
    data_dir: DataDir = Path(".demo"),
    as_json: Json = False,
) -> None:
    """Run several DAOs' clauses on real observations, from submission to verified bundles."""
    from infrastructure.cli import showing

    raise typer.Exit(showing.demo(data_dir, seed, as_json=as_json))


def _instant(text: str) -> int:
    from datetime import datetime

    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("an instant is RFC 3339 (2026-01-31T12:00:00Z) or milliseconds since 1970") from None
    if instant.tzinfo is None:
        raise typer.BadParameter("an instant needs its offset, e.g. 2026-01-31T12:00:00Z")
    return int(instant.timestamp() * 1000)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    sys.exit(_run(given))


def _run(arguments: list[str]) -> int:
    from infrastructure.cli.output import INTERRUPTED, USAGE

    try:
        outcome = typer.main.get_command(app).main(args=arguments, prog_name="enclave-ledger", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except typer.exceptions.TyperException as error:
        # typer's usage errors; its own exit code 2 is mapped to the one that sysexits.h has for them.
        show = getattr(error, "show", None)
        if show is not None:
            show()
        return USAGE
    except Exception as error:  # noqa: BLE001 - the last border: errors become texts and codes
        return _failed(error, as_json="--json" in arguments)
    return outcome if isinstance(outcome, int) else 0


def _failed(error: Exception, *, as_json: bool) -> int:
    from domain.errors import LedgerError, UnavailableError
    from infrastructure.cli.output import UNAVAILABLE, WRONG, result, say

    if not isinstance(error, LedgerError):
        if os.environ.get("LEDGER_DEBUG"):
            raise error
        text = f"internal fault ({type(error).__name__}); run again with LEDGER_DEBUG=1 and report what it prints"
    else:
        text = str(error)
    if as_json:
        result({"error": text}, as_json=True, lines=[])
    say(f"enclave-ledger: {text}")
    return UNAVAILABLE if isinstance(error, UnavailableError) else WRONG
