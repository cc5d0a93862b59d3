"""The command `serve`."""

from contextlib import ExitStack
from pathlib import Path

from infrastructure.api.limits import Allowed
from infrastructure.api.roles import API, ROLES
from infrastructure.api.serve import Outside, listen
from infrastructure.api.serve import serve as serve_at
from infrastructure.cli.govern import found_cell
from infrastructure.cli.options import HOST, LEVELS
from infrastructure.cli.output import GOOD, UNAVAILABLE, result, say
from infrastructure.cli.session import ledger_at
from infrastructure.ending import Ending
from infrastructure.keys.memory import forbid_dumps
from infrastructure.log_lines import JsonLog


def serve(
    data_dir: Path,
    host: str,
    port: int,
    *,
    outside: Outside,
    roles: frozenset[str] = frozenset(),
    json_log: bool = False,
    allowed: Allowed | None = None,
    as_json: bool,
) -> None:
    """Serve until TERM. A process that has roles founds nothing: of several one would have to be first."""
    forbid_dumps()
    with ExitStack() as stack:
        log = stack.enter_context(JsonLog({"roles": " ".join(sorted(roles or ROLES))})) if json_log else None
        tell = say if log is None else log.tell
        bound = stack.enter_context(listen(host, port, outside, public=bool(roles) and API not in roles))
        address = f"[{host}]" if ":" in host else host
        scheme = "http" if outside.certificate is None else "https"
        url = outside.url or f"{scheme}://{address}:{bound.getsockname()[1]}"
        if not roles and not (data_dir / "keys").is_dir():
            platform, _ = found_cell(data_dir, HOST, (), 1, LEVELS)
            tell(f"founded a new ledger in {data_dir}: platform log {platform}")
        # from TERM on to the very end of the process; nothing acknowledged is lost, so it is not a failure
        ending = Ending(tell, GOOD, UNAVAILABLE)
        serve_at(
            bound,
            lambda: ledger_at(data_dir),
            ready=lambda issuer: result(
                {"url": url, "issuer": issuer, "roles": sorted(roles or ROLES)},
                as_json=as_json,
                lines=[f"serving on {url}, issuer {issuer}"],
            ),
            tell=tell,
            outside=outside,
            roles=roles,
            log=log,
            asked_to_end=ending.begin,
            allowed=allowed,
        )
        tell("served; ended")
