"""Commands of standing offers: offer stand, offer withdraw."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.time import rfc3339
from infrastructure.cli.output import result
from infrastructure.cli.session import ledger_at, load_wallets, root_wallets
from infrastructure.client import offers


def stand(
    data_dir: Path, pool: str, operator: str, key: Path, root_keys: Sequence[Path], *, until_ms: int,
    slots: int | None, memory_bytes: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Let an offer stand."""
    root, (wallet,) = root_wallets(data_dir, root_keys), load_wallets([key])
    with ledger_at(data_dir) as ledger:
        offers.stand(
            ledger, root, wallet, pool=pool, operator=operator, until_ms=until_ms, slots=slots,
            memory_bytes=memory_bytes,
        )  # fmt: skip
    members, lines = stood(pool, operator, slots, memory_bytes, until_ms)
    result(members, as_json=as_json, lines=lines)


def stood(
    pool: str, operator: str, slots: int | None, memory_bytes: int | None, until_ms: int
) -> tuple[dict[str, Any], list[str]]:
    """Return what is said of an offer that stands: for programs, and for people."""
    members = {"pool": pool, "operator": operator, "slots": slots, "memory_bytes": memory_bytes, "until_ms": until_ms}
    limits = ", ".join(f"{most} {name}" for name, most in (("slots", slots), ("bytes", memory_bytes)) if most)
    lines = [f"{operator} takes overflow in pool {pool} until {rfc3339(until_ms)}; at once {limits or 'all there is'}"]
    return members, lines


def withdraw(
    data_dir: Path, pool: str, operator: str, key: Path | None, root_keys: Sequence[Path], *, as_json: bool
) -> None:
    """Withdraw an offer."""
    wallet = None if key is None else load_wallets([key])[0]
    root = [] if wallet is not None else root_wallets(data_dir, root_keys)
    with ledger_at(data_dir) as ledger:
        offers.withdraw(ledger, pool, operator, wallet=wallet, root_admins=root)
    members, lines = withdrawn(pool, operator)
    result(members, as_json=as_json, lines=lines)


def withdrawn(pool: str, operator: str) -> tuple[dict[str, Any], list[str]]:
    """Return what is said of an offer that is over: for programs, and for people."""
    lines = [f"{operator} takes no more overflow in pool {pool}; what runs there ends by itself"]
    return {"pool": pool, "operator": operator, "withdrawn": True}, lines
