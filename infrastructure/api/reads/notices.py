"""/v1/notices: whom a tenant's log tells of its faults; and to a treaty monitor, what is open for its scope.

Invariants:
- A tenant sees the notices of its own executions. A monitor sees those whose recipient is its scope, by name, of the
  jurisdictions that it was enrolled for: scopes' names are unique, and it is the tenant that names its recipients.
- Looking delivers nothing: a notice stays open until it is fetched or a webhook took it.
"""

import threading
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from fastapi.params import Query as InQuery
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import LedgerError
from domain.executions.events import NoticeRequested
from infrastructure.api.askers import Principal
from infrastructure.api.reads.answers import shown
from infrastructure.api.reads.cursors import print_cursor, read_cursor, read_index
from infrastructure.api.reads.queries import Page
from infrastructure.api.reads.rows import OwnRows, require_after
from infrastructure.api.reads.shapes import Notices
from infrastructure.api.rights import Role
from infrastructure.api.state import asker, serving
from infrastructure.commands.loading import load_tenant
from infrastructure.feed.telling import told
from infrastructure.ledger import Ledger
from infrastructure.notices.outbox import DIRECTORY, Outbox
from projections import audit_trail

Row = dict[str, Any]

_MOST_PASSED: Final = 50_000
"""Entries of a log that are passed over for a page: it may be empty, though there are more to come."""
_MOST_LOOKED_AT: Final = 5_000
"""Open notices of one recipient that are looked at for a page."""
_lock = threading.Lock()
_outboxes: dict[Path, Outbox] = {}

router = APIRouter()


@router.get("/v1/notices", response_model=Notices)
async def notices(request: Request, query: Annotated[Page, InQuery()]) -> Response:
    """List the notices of the asker's tenant, as its log has them; to a monitor, those that are open for its scope."""
    ledger, (who, log_id) = serving(request).need().ledger, asker(request)
    if who.role is Role.MONITOR:
        return await shown(request, lambda: _open(ledger, who, query))
    return await shown(request, lambda: _own(ledger, log_id, query))


def _own(ledger: Ledger, log_id: UUID, query: Page) -> Row:
    first = 0 if query.cursor is None else read_index("notice", query.cursor)
    reader, rows = ledger.as_tenant(log_id), OwnRows(ledger, log_id, audit_trail.NAME)
    size = reader.head().size
    last = min(size, first + _MOST_PASSED)
    found = reader.of_topic(NoticeRequested.TOPIC, first, last, query.limit)
    delivered: dict[str, Any] = {}
    notices = []
    for one in found:
        event = told(ledger, one)["event"]
        if event is None:  # its keys have just gone
            continue
        name = event["execution_id"]
        if name not in delivered:
            delivered[name] = (rows.row(audit_trail.NAME, f"execution/{name}") or {}).get("delivered", ())
        recipient = event["recipient"]
        notices.append(
            {
                "execution": name,
                "kind": event["kind"],
                "recipient": recipient,
                "delivered": recipient in delivered[name],
            }
        )
    following = found[-1].leaf_index + 1 if len(found) == query.limit else last
    return {"notices": notices, "next": print_cursor("notice", str(following)) if following < size else None}


def _open(ledger: Ledger, who: Principal, query: Page) -> Row:
    after = "" if query.cursor is None else require_after(read_cursor("open", query.cursor), "exec")
    if ledger.data_dir is None:
        return {"notices": [], "next": None}
    with _lock:  # an outbox is one thread's
        outbox = _outboxes.setdefault(ledger.data_dir, Outbox(ledger, ledger.data_dir / DIRECTORY))
        outbox.catch_up()
        streams = sorted(outbox.waiting(who.called, _MOST_LOOKED_AT))
        wanted = [one for one in streams if f"exec-0x{one.hex}" > after]
        rows: list[Row] = []
        for stream in islice(wanted, query.limit):
            parcel = outbox.parcel(stream, who.called)
            if parcel is not None and _concerns(ledger, who, parcel.log_id):
                notice = parcel.notice
                rows.append(
                    {
                        "tenant": ledger.log(parcel.log_id).origin,
                        "execution": notice.execution_id,
                        "kind": notice.kind,
                        "recipient": notice.recipient,
                        "requested_at_ms": notice.requested_at_ms,
                        "delivered": False,
                        "statement": outbox.statement(parcel),
                    }
                )
        more = len(wanted) > query.limit
    return {
        "notices": rows,
        "next": print_cursor("open", f"exec-0x{wanted[query.limit - 1].hex}") if more else None,
    }


def _concerns(ledger: Ledger, who: Principal, log_id: UUID) -> bool:
    try:
        return not who.jurisdictions or load_tenant(ledger, log_id).jurisdiction in who.jurisdictions
    except LedgerError:
        return False
