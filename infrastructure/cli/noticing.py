"""What the commands about notices do."""

import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.errors import MalformedError
from domain.executions.events import NoticeDelivered, NoticeRequested
from domain.executions.notices import Name, Notice
from domain.time import SECOND_MS, rfc3339
from infrastructure.cli.output import GOOD, WARNING, result, say
from infrastructure.cli.session import ledger_at
from infrastructure.keys.addresses import cell_addresses
from infrastructure.keys.private_files import make_private_directory, write_private
from infrastructure.ledger import Ledger
from infrastructure.notices.delivering import Deliverer, fetch
from infrastructure.notices.outbox import DIRECTORY, Outbox, Parcel
from infrastructure.notices.webhooks import Addresses, Webhook

_PAGE = 500
_POLL_S = 1.0


def list_notices(data_dir: Path, recipient: str | None, *, delivered: bool, as_json: bool) -> None:
    """List notices."""
    with ledger_at(data_dir) as ledger:
        outbox = _outbox(ledger, data_dir)
        outbox.catch_up()
        rows = [_row(ledger, parcel) for parcel in outbox.parcels()]
        rows += _delivered(ledger) if delivered else []
    rows = [row for row in rows if recipient in {None, row["recipient"]}]
    lines = [
        f"{row['execution']}  {row['kind']:<18} for {row['recipient']}  "
        + (f"{row['how']}, try {row['tries']}" if row["delivered"] else f"open, tried {row['tries']} times")
        for row in rows
    ]
    result({"notices": rows}, as_json=as_json, lines=lines or ["no notice is open"])


def fetch_notices(data_dir: Path, recipient: str, out: Path | None, *, as_json: bool) -> None:
    """Hand out, then record."""
    rows: list[dict[str, Any]] = []
    with ledger_at(data_dir) as ledger:
        if out is not None:
            make_private_directory(out)

        def hand_out(parcels: Sequence[tuple[Parcel, str]]) -> None:
            for parcel, token in parcels:
                rows.append({**_row(ledger, parcel), "statement": token})
                if out is not None:
                    write_private(out / f"{_file_name(parcel.notice)}.jwt", token.encode())
            lines = [f"{row['execution']}  {row['kind']}  {rfc3339(row['requested_at_ms'])}" for row in rows]
            result({"notices": rows}, as_json=as_json, lines=lines or [f"no notice is open for {recipient}"])

        fetch(_outbox(ledger, data_dir), recipient, hand_out)


def _file_name(notice: Notice) -> str:
    of_a_dispute = () if notice.dispute is None else (notice.dispute, notice.kind)
    return ".".join((notice.execution_id, *of_a_dispute))


def set_address(data_dir: Path, recipient: str, url: str | None, *, remove: bool, as_json: bool) -> None:
    """Set or take away a webhook."""
    if (url is None) != remove:
        raise MalformedError("name the address with --url, or take it away with --remove")
    with ledger_at(data_dir) as ledger:
        known = _addresses(ledger, data_dir).set(recipient, url)
    result({"webhooks": sorted(known)}, as_json=as_json, lines=[f"told by webhook: {', '.join(sorted(known)) or '-'}"])


def deliver(data_dir: Path, for_s: float | None, *, as_json: bool) -> int:
    """Post what is open; return the exit code.

    Args:
        data_dir: the ledger's.
        for_s: for so many seconds; None: until SIGINT or SIGTERM.
        as_json: print one object.
    """
    ended, done = threading.Event(), 0
    if for_s is None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
    with ledger_at(data_dir) as ledger:
        webhooks = {name: Webhook(url) for name, url in _addresses(ledger, data_dir).read().items()}
        deliverer = Deliverer(_outbox(ledger, data_dir), webhooks, ledger.clock.now_ms, trouble=say)
        until_ms = None if for_s is None else ledger.clock.now_ms() + int(for_s * SECOND_MS)
        while True:
            done += deliverer.step()
            left = deliverer.more or deliverer.waits()
            over = until_ms is not None and (not left or ledger.clock.now_ms() >= until_ms)
            if over or ended.wait(0 if deliverer.more else _POLL_S):
                break
    lines = [f"{done} notices delivered" + ("; some are left" if left else "")]
    result({"delivered": done, "left": left}, as_json=as_json, lines=lines)
    return WARNING if left else GOOD


def _addresses(ledger: Ledger, data_dir: Path) -> Addresses:
    return Addresses(data_dir / DIRECTORY, cell_addresses(ledger.keyring, ledger.entropy))


def _outbox(ledger: Ledger, data_dir: Path) -> Outbox:
    return Outbox(ledger, data_dir / DIRECTORY)


def _row(ledger: Ledger, parcel: Parcel) -> dict[str, Any]:
    notice = parcel.notice
    return {
        "tenant": ledger.log(parcel.log_id).origin,
        "execution": notice.execution_id,
        "recipient": notice.recipient,
        "kind": notice.kind,
        **({} if notice.dispute is None else {"dispute": notice.dispute}),
        "requested_at_ms": notice.requested_at_ms,
        "delivered": False,
        "how": None,
        "tries": parcel.tries,
    }


def _delivered(ledger: Ledger) -> list[dict[str, Any]]:
    """Return every notice that was delivered, as the tenants' logs have it; those that can't be read are left out."""
    rows: list[dict[str, Any]] = []
    looked_at: set[UUID] = set()
    first = 1
    while True:
        page = ledger.recorder.select_notifications(first, _PAGE, None, (NoticeDelivered.TOPIC,))
        for one in page:
            stream = UUID(str(one.originator_id))
            if stream not in looked_at:
                looked_at.add(stream)
                rows += _delivered_in(ledger, stream)
        if len(page) < _PAGE:
            return rows
        first = page[-1].id + 1


def _delivered_in(ledger: Ledger, stream: UUID) -> Iterator[dict[str, Any]]:
    log_id = ledger.recorder.log_of_stream(stream)
    if log_id is None or ledger.erased(log_id):
        return
    requested: dict[Name, int] = {}
    for recorded in ledger.stream(log_id, stream):
        event = recorded.event
        if isinstance(event, NoticeRequested):
            requested[event.recipient, event.kind, event.dispute] = recorded.at_ms
        elif isinstance(event, NoticeDelivered):
            asked_ms = requested[event.recipient, event.kind, event.dispute]
            notice = Notice(event.execution_id, event.recipient, event.kind, asked_ms, event.dispute)
            row = _row(ledger, Parcel(log_id, notice, event.tries))
            yield {**row, "delivered": True, "how": event.how}
