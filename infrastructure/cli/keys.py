"""Commands about data keys: list, rotate, order their end, destroy. None of them prints, or is given, a secret."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from domain.errors import MalformedError, RefusedError, UnknownError, VerificationError
from domain.identifiers import PLATFORM_SLOT
from domain.time import DAY_MS, SECOND_MS, rfc3339
from infrastructure.anchors.anchored import anchored_by
from infrastructure.anchors.witnesses import read_witnesses
from infrastructure.cli.output import GOOD, WARNING, result
from infrastructure.cli.session import ledger_at, load_wallets
from infrastructure.client import acts
from infrastructure.commands.loading import find_log, find_tenant
from infrastructure.entropy import SystemEntropy
from infrastructure.erasure import Erased, destroy_keys
from infrastructure.keys.generations import ROTATION_DUE
from infrastructure.keys.keyring import Keyring
from infrastructure.keys.wrapping import passphrase_from
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Log
from infrastructure.rotation import rotate_data_key

STAYS = (
    "what stays: number, order, sizes, streams and kinds of its entries; checkpoints and anchors; the scheduler's"
    " views, sealed under the cell's key; what others received, disclosed keys and bundles among it"
)


def list_keys(data_dir: Path, *, as_json: bool) -> None:
    """List logs and generations."""
    with ledger_at(data_dir) as ledger:
        rows = [_row(ledger, log) for log in ledger.logs()]
    lines = [
        f"{row['origin']}  {row['state']}"
        f"  data generations {row['data_generations']}, signing {row['signing_generations']}"
        for row in rows
    ]
    result({"keys": rows}, as_json=as_json, lines=lines or ["no log has keys yet"])


def _row(ledger: Ledger, log: Log) -> dict[str, Any]:
    row: dict[str, Any] = {"origin": log.origin, "log": str(log.log_id)}
    try:
        keys, erased = ledger.keyring.get(log.log_id), ledger.erased(log.log_id)
    except (UnknownError, MalformedError, VerificationError) as error:
        state = "MISSING" if isinstance(error, UnknownError) else "DAMAGED"
        return {**row, "state": state, "data_generations": 0, "signing_generations": 0}
    state = "in use"
    sealer = None if erased or not keys.data_keys else ledger.sealers.of(log.log_id)
    if erased:
        state = "destroyed" if keys.erased else "destroyed, AND BROUGHT BACK into the keyring: run `key destroy` again"
    elif sealer is not None and sealer.sealed >= ROTATION_DUE:
        state = "rotation due"
    return {
        **row,
        "kind": keys.kind.value,
        "state": state,
        "data_generations": len(keys.data_keys) or keys.erased_generations,
        "signing_generations": len(keys.signing),
        **({} if sealer is None else {"sealed": sealer.sealed}),
    }


def rotate_key(data_dir: Path, name: str, *, as_json: bool) -> None:
    """Rotate a log's data key."""
    with ledger_at(data_dir) as ledger:
        log = find_log(ledger, name)
        generation = rotate_data_key(ledger, log.log_id)
    members = {"origin": log.origin, "generation": generation}
    result(members, as_json=as_json, lines=[f"{log.origin} is sealed with generation {generation} from now on"])


def order_erasure(data_dir: Path, name: str, keys: Sequence[Path], cooling_off_days: int, *, as_json: bool) -> None:
    """Order an erasure."""
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        acts.order_erasure(ledger, find_tenant(ledger, name), admins, cooling_off_days * DAY_MS)
        due_ms = find_tenant(ledger, name).erasure_not_before_ms or 0
    lines = [
        f"{name} takes no new work; `work` brings what it has to an end",
        f"`key destroy` may destroy its data keys from {rfc3339(due_ms)} on; until then its admins may take it back",
    ]
    result({"not_before_ms": due_ms}, as_json=as_json, lines=lines)


def withdraw_erasure(data_dir: Path, name: str, keys: Sequence[Path], *, as_json: bool) -> None:
    """Take an order back."""
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        acts.withdraw_erasure(ledger, find_tenant(ledger, name), admins)
    result({"withdrawn": True}, as_json=as_json, lines=[f"{name} takes work again"])


def destroy_key(
    data_dir: Path,
    name: str,
    copies: Sequence[Path],
    backup_days: int,
    *,
    as_json: bool,
) -> int:
    """Carry an erasure out; return the exit code: a warning while backups still hold something in the clear."""
    passphrase = passphrase_from(os.environ)
    for path in copies:
        if not path.is_dir():  # opening it would make a new one
            raise RefusedError(f"there is no copy of the keyring in {path}")
    further = [Keyring.open(path, SystemEntropy(), passphrase=passphrase) for path in copies]
    with ledger_at(data_dir) as ledger:
        log = find_log(ledger, name)
        if log.slot == PLATFORM_SLOT:
            raise RefusedError("only a tenant's keys are ever destroyed")
        anchored = anchored_by(ledger, read_witnesses(data_dir))
        erased = destroy_keys(ledger, log.log_id, anchored=anchored, copies=further)
        now = datetime.fromtimestamp(ledger.clock.now_ms() / SECOND_MS, UTC)
    pending = _pending(erased, backup_days, now)
    members = {
        "origin": log.origin,
        "size": erased.size,
        "root": erased.root,
        "round": erased.round,
        "disclosures": erased.disclosures,
        "pending_until": None if pending is None else pending.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    result(members, as_json=as_json, lines=_told(erased, pending))
    return GOOD if pending is None else WARNING


def _pending(erased: Erased, backup_days: int, now: datetime) -> datetime | None:
    """Return when the last backup expires that holds something in the clear; None when none does (any more)."""
    if erased.plain_until is None:
        return None
    expires = erased.plain_until.astimezone(UTC) + timedelta(days=backup_days)
    return expires if expires > now else None


def _told(erased: Erased, pending: datetime | None) -> list[str]:
    anchored = "is not anchored: this cell keeps no anchor log (`anchor run`)"
    if erased.round is not None:
        anchored = f"is anchored in round {erased.round}"
    lines = [
        f"{erased.log.origin}: data keys destroyed; its {erased.size} entries can't be read here any more",
        f"its last checkpoint, root {erased.root}, {anchored}",
        STAYS,
    ]
    if erased.disclosures:
        lines.append(f"stream keys were handed out {erased.disclosures} times before: who has them reads those streams")
    lines.append("copies of the keyring that were not named with --copy still open everything: destroy them")
    if pending is None:
        return [*lines, "erasure complete: database, write-ahead log and backups hold nothing of it in the clear"]
    before = f"{erased.plain_until:%Y-%m-%d}"
    text = f"write-ahead log and backups of the database from before {before} hold read models in the clear"
    return [*lines, f"erasure pending until {pending:%Y-%m-%d}: {text}, which an older program kept; destroy them"]
