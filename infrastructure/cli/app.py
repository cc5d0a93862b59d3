"""The command line put together, and how a command ends.

Invariants:
- What commands do is imported only when they run: `--help` stays fast.
- Every command takes --data-dir and --json; those that act take --key.
- A usage error ends with 64, a refusal with 1, what can't be reached with 69 (infrastructure.cli.output).
"""

import os
import sys

import typer
import typer.exceptions

from infrastructure.cli import app_consistency, app_govern, app_keys, app_operate, app_scopes
from infrastructure.cli.app_anchor import anchor_app, trust_app
from infrastructure.cli.app_attestation import attestation_app
from infrastructure.cli.app_audit import audit_app
from infrastructure.cli.app_backup import backup, migrate, restore, upgrade
from infrastructure.cli.app_cac import cac_app
from infrastructure.cli.app_config import config_app, take_config
from infrastructure.cli.app_credentials import credential_app
from infrastructure.cli.app_disputes import dispute_app
from infrastructure.cli.app_feed import feed, projections_app
from infrastructure.cli.app_log import log_app
from infrastructure.cli.app_notices import notices_app
from infrastructure.cli.app_offers import offer_app
from infrastructure.cli.app_principals import principal_app
from infrastructure.cli.app_release import release_app
from infrastructure.cli.app_serve import node_machine, node_run, serve
from infrastructure.cli.app_simulate import simulate
from infrastructure.cli.app_subscriptions import cacs_app
from infrastructure.cli.app_usage import usage_app
from infrastructure.cli.app_witness import witness_app
from infrastructure.cli.options import group

app = group("Event-sourced, verifiable ledger for secure multitenancy in trusted execution environments.")
app.callback()(take_config)
app.command("init")(app_govern.init)
app.add_typer(app_keys.key_app, name="key")
app.add_typer(app_keys.tenant_app, name="tenant")
app.add_typer(principal_app, name="principal")
app.add_typer(app_govern.clause_app, name="clause")
app.add_typer(app_govern.policy_app, name="policy")
app_govern.node_app.command("run")(node_run)
app_govern.node_app.command("machine")(node_machine)
app.add_typer(app_govern.node_app, name="node")
app.add_typer(offer_app, name="offer")
app.add_typer(app_scopes.scope_app, name="scope")
app.add_typer(app_scopes.monitor_app, name="monitor")
app.add_typer(app_scopes.levels_app, name="levels")
app.add_typer(app_scopes.quota_app, name="quota")
app.add_typer(app_scopes.token_app, name="token")
app.command("quotas")(app_scopes.quotas)
app.add_typer(usage_app, name="usage")
app.command("submit")(app_operate.submit)
app.command("work")(app_operate.work)
app.command("decide")(app_operate.decide)
app.command("cancel")(app_operate.cancel)
app.command("queue")(app_operate.queue)
app.command("nodes")(app_operate.nodes)
app.command("why")(app_operate.why)
app.add_typer(app_operate.retry_app, name="retry")
app.add_typer(cac_app, name="cac")
app.add_typer(cacs_app, name="cacs")
app.add_typer(dispute_app, name="dispute")
app.add_typer(notices_app, name="notices")
app.command("feed")(feed)
app.add_typer(projections_app, name="projections")
audit_app.command("consistency")(app_consistency.audit_consistency)
audit_app.command("fsck")(app_consistency.audit_fsck)
app.add_typer(audit_app, name="audit")
app.add_typer(attestation_app, name="attestation")
app.add_typer(credential_app, name="credential")
app.add_typer(anchor_app, name="anchor")
app.add_typer(trust_app, name="trust")
app.add_typer(log_app, name="log")
app.add_typer(witness_app, name="witness")
app.add_typer(release_app, name="release")
app.command("serve")(serve)
app.add_typer(config_app, name="config")
app.command("backup")(backup)
app.command("restore")(restore)
app.command("migrate")(migrate)
app.command("upgrade")(upgrade)
app.command("simulate")(simulate)
app.command("demo")(app_operate.demo)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    sys.exit(_run(given))


def _run(arguments: list[str]) -> int:
    from infrastructure.cli.output import INTERRUPTED, USAGE, result

    try:
        outcome = typer.main.get_command(app).main(args=arguments, prog_name="enclave-ledger", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except typer.exceptions.TyperException as error:
        # typer's usage errors; its own exit code 2 is mapped to the one that sysexits.h has for them.
        show = getattr(error, "show", None)
        if show is not None:
            show()
        if "--json" in arguments:
            text = getattr(error, "format_message", lambda: "")() or "a command is missing"
            result({"error": text}, as_json=True, lines=[])
        return USAGE
    except Exception as error:  # noqa: BLE001 - the last border: errors become texts and codes
        return _failed(error, as_json="--json" in arguments)
    return outcome if isinstance(outcome, int) else 0


def _failed(error: Exception, *, as_json: bool) -> int:
    from pydantic import ValidationError

    from domain.errors import LedgerError, UnavailableError
    from infrastructure.cli.output import UNAVAILABLE, WRONG, result, say

    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        text = f"{where or error.title} is malformed: {first['msg']}"
    elif not isinstance(error, LedgerError):
        if os.environ.get("LEDGER_DEBUG"):
            raise error
        text = f"internal fault ({type(error).__name__}); run again with LEDGER_DEBUG=1 and report what it prints"
    else:
        text = str(error)
    if as_json:
        result({"error": text}, as_json=True, lines=[])
    say(f"enclave-ledger: {text}")
    return UNAVAILABLE if isinstance(error, UnavailableError) else WRONG
