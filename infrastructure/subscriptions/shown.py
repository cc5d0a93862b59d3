"""Subscriptions as commands and routes tell them: never their addresses, only what the hosts are called."""

from typing import Any
from uuid import UUID

from domain.errors import LedgerError
from infrastructure.commands.subscriptions import address_of, load_subscriptions
from infrastructure.ledger import Ledger
from infrastructure.posting.targets import Target
from infrastructure.subscriptions.feed import Results

Row = dict[str, Any]


def subscription_rows(ledger: Ledger, log_id: UUID) -> list[Row]:
    """Return the subscriptions of a log, open and past, by id."""
    opened = load_subscriptions(ledger, log_id).open
    rows = []
    for row in Results(ledger, log_id).standings():
        one = opened.get(row["subscription"])
        host = None
        if one is not None:
            try:
                host = Target.parse(address_of(ledger, log_id, one).url).host
            except LedgerError:  # what can't be opened is not told
                host = None
        rows.append({**{name: value for name, value in row.items() if name != "version"}, "host": host})
    return rows
