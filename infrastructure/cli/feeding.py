"""Commands that follow: the feed of a log, and the read models."""

import json
import signal
import threading
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.errors import UnknownError
from infrastructure.audit.replay import PROJECTIONS
from infrastructure.cli.output import GOOD, WARNING, result, say
from infrastructure.cli.session import ledger_at
from infrastructure.commands.loading import find_log
from infrastructure.feed.hub import Hub
from infrastructure.feed.subscriptions import Subscriptions
from infrastructure.feed.telling import told
from infrastructure.ledger import Ledger
from infrastructure.postgres.editions import family_of
from infrastructure.postgres.records import StoredEntry
from infrastructure.projecting.status import LogStatus, read_status
from infrastructure.projecting.supervisor import Supervisor
from infrastructure.projector import Projector


def print_feed(
    data_dir: Path, tenant: str | None, after: int | None, *, follow: bool, limit: int | None, as_json: bool
) -> None:
    """Print events as they come; each line is flushed, so that it can be piped."""
    with ledger_at(data_dir) as ledger, Subscriptions(ledger) as feeds:
        sources = feeds.sources
        source = sources.all_entries() if tenant is None else sources.entries(find_log(ledger, tenant).log_id)
        with feeds.subscribe(source, after=after, follow=follow, trouble=say) as subscription:
            for entry in islice(subscription, limit):
                members = _told(ledger, subscription.position, entry)
                result(members, as_json=as_json, lines=[_line(members)])


def _told(ledger: Ledger, cursor: int, entry: StoredEntry) -> dict[str, Any]:
    """Return an event as it is printed."""
    return {"cursor": cursor, "log": ledger.log(entry.log_id).origin, **told(ledger, entry)}


def _line(members: dict[str, Any]) -> str:
    content = "(sealed)" if members["sealed"] else json.dumps(members["event"], ensure_ascii=False)
    return f"{members['cursor']}  {members['log']} {members['leaf_index']}  {members['topic']}  {content}"


def show_status(data_dir: Path, tenant: str | None, *, as_json: bool) -> int:
    """Show how the read models stand; return the exit code."""
    with ledger_at(data_dir) as ledger:
        log_id = None if tenant is None else find_log(ledger, tenant).log_id
        status = read_status(ledger, PROJECTIONS, log_id)
    members = {
        "kept": sorted(status.kept),
        "projections": [asdict(one) for one in status.logs],
    }
    lines = [
        f"{name}: {'kept live by a process' if name in status.kept else 'nobody keeps it'}" for name in PROJECTIONS
    ]
    result(members, as_json=as_json, lines=[*lines, *map(_status_line, status.logs)])
    return WARNING if any(one.state == "stopped" for one in status.logs) else GOOD


def _status_line(one: LogStatus) -> str:
    line = f"{one.projection}  {one.origin}  {one.state}  {one.position} of {one.size}"
    if one.lag_events:
        line += f", {one.lag_events} events behind" + ("" if one.lag_ms is None else f" ({one.lag_ms} ms)")
    if one.building is not None:
        line += f", {one.building} at {one.built}"
    if one.error is not None:
        line += f", {one.error} at entry {one.error_at}"
    return line


def run(data_dir: Path, *, as_json: bool) -> None:
    """Keep the read models live until SIGINT or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with (
        ledger_at(data_dir) as ledger,
        Hub(ledger.datastore) as hub,
        Supervisor(ledger, hub, PROJECTIONS, trouble=lambda name, why: say(f"{name}: {why}; tried again")),
    ):
        say(f"keeping {', '.join(PROJECTIONS)} live; interrupt to end")
        ended.wait()
    result({"ended": True}, as_json=as_json, lines=["ended"])


def rebuild(data_dir: Path, name: str | None, tenant: str | None, *, as_json: bool) -> int:
    """Build read models again; return the exit code."""
    names = list(PROJECTIONS) if name is None else [_projection(name)]
    with ledger_at(data_dir) as ledger:
        chosen = [find_log(ledger, tenant)] if tenant is not None else ledger.logs()
        projector = Projector(ledger)
        folded = sum(projector.rebuild(log.log_id, one) for log in chosen for one in names if _kept(ledger, log.log_id))
        left = [one for name in names for one in read_status(ledger, [name]).logs if one.building is not None]
    members = {"projections": names, "logs": len(chosen), "events": folded, "unfinished": [asdict(one) for one in left]}
    lines = [f"{', '.join(names)} of {len(chosen)} logs built again from {folded} events", *map(_status_line, left)]
    result(members, as_json=as_json, lines=lines)
    return WARNING if left else GOOD


def _kept(ledger: Ledger, log_id: UUID) -> bool:
    """Tell whether a log has read models: one whose data key was destroyed has none."""
    return not ledger.erased(log_id)


def _projection(name: str) -> str:
    """Return the stored name of a projection that a person names, with its version or without."""
    for known in PROJECTIONS:
        if name in {known, family_of(known)}:
            return known
    raise UnknownError(f"there is no projection of that name; there are: {', '.join(PROJECTIONS)}")
