"""Holds a restored keyring against what it has to open: every generation, before a directory is made of it.

Invariants:
- Of each log and generation that sealed an entry the newest one is opened: a keyring that lacks a generation, or that
  drew another one of that number after it was restored itself, is refused [it would be found out at the first read,
  and by then new entries were sealed with it].
- Of each log whose signing keys were rotated the newest note's keys are the keyring's.
- Published logs that survived count as the database does: what they hold comes back with `log thaw`.
- The cell's secrets and the anchor log's keys are drawn where there are none: with something that rests on them, they
  have to be there.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

from domain.errors import LedgerError, RefusedError
from domain.identifiers import ANCHOR_LOG
from domain.transparency.key_notes import KeyNote
from domain.transparency.note import parse_note
from infrastructure.backup.archive import KnownLog, Manifest
from infrastructure.entropy import Entropy
from infrastructure.keys.entry import parse_entry
from infrastructure.keys.generations import LogSealer
from infrastructure.keys.keyring import Keyring
from infrastructure.keys.log_keys import LogKeys
from infrastructure.postgres.queries import load
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tlog.signing import LogSigner

_QUERIES: Final = load("backup.sql")
_ADVICE: Final = "take the keyring's backup that was made with the database's, or later"
_NAMED: Final = 4
_RESTING: Final = ("anchor_rounds", "sealed_views")
"""Tables that rest on the cell's secrets, where they have rows."""


def require_logs(keyring: Keyring, manifest: Manifest) -> None:
    """Require keys of every log, and the secrets that are drawn where there are none.

    Raises:
        RefusedError: when some are missing.
    """
    missing = {UUID(log.log_id) for log in manifest.logs} - set(keyring.log_ids())
    if missing:
        raise RefusedError(f"the keyring lacks the keys of {len(missing)} of {len(manifest.logs)} logs: {_ADVICE}")
    filled = {name for name, table in manifest.tables.items() if table.rows}
    if filled.intersection(_RESTING) and not keyring.has_platform_secrets():
        raise RefusedError(f"the keyring lacks the cell's own secrets: {_ADVICE}")
    if "anchor_rounds" in filled and ANCHOR_LOG not in keyring.log_ids():
        raise RefusedError(f"the keyring lacks the keys of the anchor log: {_ADVICE}")


def require_generations(
    keyring: Keyring, entropy: Entropy, connection: psycopg.Connection, logs: Sequence[KnownLog]
) -> None:
    """Require every generation of keys that the restored tables rest on.

    Args:
        keyring: the restored one.
        entropy: the process's.
        connection: sees the tables, filled and not committed.
        logs: those of the database.

    Raises:
        RefusedError: when one is missing, or is another.
    """
    known = {UUID(log.log_id): log.origin for log in logs}
    lacking: list[str] = []
    for log_id, entry in connection.execute(_QUERIES["newest_of_each_generation"]):
        keys = keyring.get(log_id)
        if log_id in known and not keys.erased and not _opens(keys, known[log_id], entropy, entry):
            lacking.append(f"{known[log_id]} generation {parse_entry(entry).generation}")
    for log_id, generation, note in connection.execute(_QUERIES["newest_key_notes"]):
        if log_id in known and not _signs(keyring.get(log_id), known[log_id], note):
            lacking.append(f"{known[log_id]} signing generation {generation}")
    _refuse(lacking, "the database")


def require_published(keyring: Keyring, entropy: Entropy, kept: Path, logs: Sequence[KnownLog]) -> None:
    """Require every generation that the published logs which survived rest on. Raises as `require_generations` does.

    What is damaged there says nothing here: `log thaw` tells what it can't take.
    """
    lacking: list[str] = []
    for log in logs:
        keys, tiles = keyring.get(UUID(log.log_id)), TileDirectory(kept / "published" / "t" / str(log.slot))
        lacking += [
            f"{log.origin} generation {parse_entry(entry).generation}"
            for entry in _newest(tiles)
            if not keys.erased and not _opens(keys, log.origin, entropy, entry)
        ]
        lacking += [
            f"{log.origin} signing generation {generation}"
            for generation, note in _last_note(tiles)
            if not _signs(keys, log.origin, note)
        ]
    _refuse(lacking, "what was published since")


def _refuse(lacking: list[str], what: str) -> None:
    if lacking:
        more = "" if len(lacking) <= _NAMED else f" and {len(lacking) - _NAMED} more"
        raise RefusedError(
            f"the keyring lacks the keys of {', '.join(lacking[:_NAMED])}{more}, on which {what} rests: {_ADVICE}"
        )


def _opens(keys: LogKeys, origin: str, entropy: Entropy, entry: bytes) -> bool:
    try:
        LogSealer(origin, keys.data_keys, entropy).read(entry)
    except LedgerError:
        return False
    return True


def _signs(keys: LogKeys, origin: str, note: bytes) -> bool:
    try:
        told = KeyNote.parse(parse_note(note).text)
        if told.generation >= len(keys.signing):
            return False
        signer = LogSigner(origin, keys.ed25519_key(told.generation), keys.mldsa44_key(told.generation))
    except LedgerError:
        return False
    return told.keys == signer.verifier_keys()


def _newest(tiles: TileDirectory) -> Iterator[bytes]:
    try:
        tree = tiles.checkpoint()
        if tree is not None and tree.size:
            yield tiles.tree(tree.size).entry(tree.size - 1)
    except LedgerError:
        return


def _last_note(tiles: TileDirectory) -> Iterator[tuple[int, bytes]]:
    try:
        yield from sorted(tiles.key_notes().items())[-1:]
    except LedgerError:
        return
