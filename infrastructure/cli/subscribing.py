"""What the commands about a tenant's results as they come do."""

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from domain.attestation.binding import SALT_BYTES
from domain.errors import MalformedError
from domain.malformed import malformed
from domain.subscriptions.events import SubscriptionOpened, Wanted
from domain.subscriptions.messages import result_told
from domain.time import SECOND_MS, rfc3339
from infrastructure.cli import remoting
from infrastructure.cli.acknowledged import Kept
from infrastructure.cli.output import GOOD, WARNING, result, say
from infrastructure.cli.remoting import There
from infrastructure.cli.session import ledger_at, load_wallets
from infrastructure.client import governance
from infrastructure.commands.loading import find_tenant
from infrastructure.commands.subscriptions import Address, new_address
from infrastructure.entropy import SystemEntropy
from infrastructure.subscriptions.delivering import allowed_networks, deliverer_of
from infrastructure.subscriptions.feed import Results
from infrastructure.subscriptions.keys import published_keys
from infrastructure.subscriptions.shown import subscription_rows

Row = dict[str, Any]

_POLL_S = 0.5
_AT = "subscription"


def wanted(clause: str | None, resource_class: str | None, outcome: str | None) -> Wanted:
    """Return which results are asked for."""
    try:
        return Wanted.model_validate({"clause": clause, "resource_class": resource_class, "outcome": outcome})
    except ValidationError as error:
        raise malformed("the choice of results", error, "") from None


def subscribe(
    data_dir: Path, tenant: str, url: str, chosen: Wanted, after: int | None, keys: Sequence[Path], *, as_json: bool
) -> None:
    """Open a subscription."""
    admins, address = load_wallets(keys), Address(SystemEntropy().bytes(SALT_BYTES), url)
    with ledger_at(data_dir) as ledger:
        answer = governance.subscribe(ledger, find_tenant(ledger, tenant), admins, chosen, address, after=after)
    opened = [one.event for one in answer.recorded if isinstance(one.event, SubscriptionOpened)]
    members: Row = {_AT: opened[0].subscription_id, "tenant": tenant, "after": opened[0].after}
    result(members, as_json=as_json, lines=[f"{members[_AT]}  told from after entry {members['after']} on"])


def subscribe_at(
    at: There, tenant: str, url: str, chosen: Wanted, after: int | None, keys: Sequence[Path], *, as_json: bool
) -> None:
    """Open a subscription at a server."""
    address = new_address(url, SystemEntropy().bytes(SALT_BYTES))
    choice = {name: value for name, value in chosen.model_dump(mode="json").items() if value is not None}
    claims = {"act": "subscribe_cacs", **choice, "commitment": address.pop("commitment")}
    with at.asked(keys, tenant) as (remote, wallets):
        written = remote.act(
            "/v1/subscriptions", {**claims, **({} if after is None else {"after": after})}, wallets, **address
        )
    named = written.members["jti"]  # the statement names it
    kept = Kept()
    kept.acknowledgements = list(written.acknowledgements)
    members: Row = {_AT: named, **written.members, **kept.members()}
    result(members, as_json=as_json, lines=[f"{named}  opened"])


def unsubscribe(data_dir: Path, tenant: str, subscription: str, keys: Sequence[Path], *, as_json: bool) -> None:
    """End a subscription."""
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        governance.unsubscribe(ledger, find_tenant(ledger, tenant), admins, subscription)
    result({_AT: subscription, "status": "ended"}, as_json=as_json, lines=[f"{subscription}  ended"])


def list_subscriptions(data_dir: Path, tenant: str, *, as_json: bool) -> None:
    """List subscriptions."""
    with ledger_at(data_dir) as ledger:
        log_id = UUID(find_tenant(ledger, tenant).log_id)
        found = {"subscriptions": subscription_rows(ledger, log_id), **published_keys(ledger, log_id)}
    _listed(found, as_json=as_json)


def list_at(at: There, tenant: str, keys: Sequence[Path], *, as_json: bool) -> None:
    """List subscriptions at a server."""
    with at.asked(keys, tenant) as (remote, _):
        found = remoting.get_as_admin(remote, "/v1/subscriptions")
    _listed(found, as_json=as_json)


def feed(data_dir: Path, tenant: str, chosen: Wanted, cursor: str | None, limit: int, *, as_json: bool) -> None:
    """Pull results. The cursor here is the leaf index before which everything was given."""
    after = _after(cursor)
    with ledger_at(data_dir) as ledger:
        log_id = UUID(find_tenant(ledger, tenant).log_id)
        found = Results(ledger, log_id)
        leaves, last = found.page(chosen, after, limit)
        origin = ledger.log(log_id).origin
        told = [result_told(origin, one) for one in found.entries(leaves)]
    _pulled({"results": told, "next": str(last + 1)}, as_json=as_json)


def feed_at(
    at: There, tenant: str, chosen: Wanted, cursor: str | None, limit: int, keys: Sequence[Path], *, as_json: bool
) -> None:
    """Pull results from a server."""
    named = {"clause": chosen.clause, "class": chosen.resource_class, "outcome": chosen.outcome, "cursor": cursor}
    query = {name: value for name, value in named.items() if value is not None}
    with at.asked(keys, tenant) as (remote, _):
        found = remote.get("/v1/cacs/feed", limit=limit, **query)
    _pulled(found, as_json=as_json)


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
        deliverer = deliverer_of(ledger, say, allowed_networks(os.environ), threads=None)
        until_ms = None if for_s is None else ledger.clock.now_ms() + int(for_s * SECOND_MS)
        while True:
            done += deliverer.step()
            left = deliverer.more or deliverer.waits()
            over = until_ms is not None and ledger.clock.now_ms() >= until_ms and not deliverer.more
            if over or (until_ms is not None and not left) or ended.wait(0 if deliverer.more else _POLL_S):
                break
    lines = [f"{done} results delivered" + ("; some are left" if left else "")]
    result({"delivered": done, "left": left}, as_json=as_json, lines=lines)
    return WARNING if left else GOOD


def _after(cursor: str | None) -> int:
    if cursor is None:
        return -1
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > len(str(2**53)):
        raise MalformedError("the cursor is none that this gave: begin again without one")
    return int(cursor) - 1


def _listed(found: Row, *, as_json: bool) -> None:
    lines = [
        f"{row['subscription']}  {row['status']}  {row['host'] or '-'}  {row['delivered']} delivered"
        f"  {' '.join(str(row[name]) for name in ('clause', 'resource_class', 'outcome') if row[name])}"
        for row in found["subscriptions"]
    ]
    lines += [f"key {key['kid']}  {key['x']}" for key in found["keys"]["keys"]]
    result(found, as_json=as_json, lines=lines or ["no subscription"])


def _pulled(found: Row, *, as_json: bool) -> None:
    lines = [
        f"{row['leaf_index']}  {row['type']}  {row['cac_id']}  {rfc3339(row['at_ms'])}" for row in found["results"]
    ]
    result(found, as_json=as_json, lines=[*lines, f"next {found['next']}"])
