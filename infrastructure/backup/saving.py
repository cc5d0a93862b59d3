"""Makes backups while the ledger is at work.

Order: floors, the database in one snapshot, the other files. So the floors are never ahead of the tables, and the
journal of rounds is never behind them: an archive that is restored by itself holds together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import psycopg

from domain.errors import LedgerError, RefusedError, UnavailableError
from infrastructure.backup.archive import Progress, Table, Writer, writing
from infrastructure.backup.files import BESIDE, FLOORS, KEYS, MACHINE_KEY, NOTICES, OPEN_SECRETS, add_files, unknown
from infrastructure.backup.tables import Outgoing, begin_snapshot, kept_tables, logs
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.addresses import cell_addresses
from infrastructure.keys.keyring import Keyring
from infrastructure.keys.private_files import locked
from infrastructure.keys.wrapping import passphrase_from
from infrastructure.notices.webhooks import Addresses, lie_open
from infrastructure.postgres.connect import reach_database
from infrastructure.postgres.migrate import migrations


@dataclass(frozen=True, slots=True)
class Saved:
    """What an archive holds.

    Attributes:
        path: the archive.
        sha256: of its manifest, hex.
        size_bytes: of all members.
        rows: of all tables.
        logs: how many.
        left_out: files that nobody knows, and that are in no backup.
    """

    path: Path
    sha256: str
    size_bytes: int
    rows: int
    logs: int
    left_out: tuple[str, ...]


def save(
    data_dir: Path, environ: Mapping[str, str], out: Path, *, at: datetime, told: Progress = lambda _done: None
) -> Saved:
    """Write the database and what belongs to it, without the keyring.

    Args:
        data_dir: the cell's.
        environ: names its database, if that is not the embedded one.
        out: the archive.
        at: now.
        told: told how many bytes were written.

    Raises:
        RefusedError: when there is no ledger, its schema is newer than this program, or URLs of webhooks lie open and
            the keyring can't be opened to seal them.
        ConflictError: when there is something of that name.
        UnavailableError: when database or disk refuse.
    """
    require_ledger(data_dir)
    _seal_addresses(data_dir, environ)
    with reach_database(data_dir, environ) as database, writing(out, told) as writer:
        add_files(writer, data_dir, (FLOORS,))
        tables: dict[str, Table] = {}
        try:
            with psycopg.connect(database.conninfo) as connection:
                digests = begin_snapshot(connection, migrations())
                known, _ = logs(connection)
                for name, columns in kept_tables(connection).items():
                    stream = Outgoing(connection, name, columns)
                    writer.add_stream(f"database/{name}", stream)
                    tables[name] = Table(columns=columns, rows=stream.rows)
                server = connection.info.server_version
        except psycopg.Error as error:
            words = error.diag.message_primary or "the connection was lost"
            raise UnavailableError(f"the database can't be read for a backup: {words}") from None
        add_files(writer, data_dir, BESIDE)
        digest = writer.finish({
            **_made("database", at),
            "postgresql": server,
            "migrations": [one.hex() for one in digests],
            "tables": {name: table.model_dump(mode="json") for name, table in tables.items()},
            "logs": [one.model_dump() for one in known],
        })  # fmt: skip
    rows = sum(table.rows for table in tables.values())
    return Saved(out, digest, writer.done, rows, len(known), tuple(unknown(data_dir)))


def save_keyring(data_dir: Path, out: Path, *, at: datetime, unsealed: bool) -> Saved:
    """Write the keyring as it lies there: wrapped.

    Args:
        data_dir: the cell's.
        out: the archive.
        at: now.
        unsealed: also what lies there in the clear: the machine key that wraps it, the root scope's wallet, the
            roots of synthetic machines.

    Raises:
        As `save` does.
    """
    require_ledger(data_dir)
    with writing(out) as writer:
        _add_keys(writer, data_dir, unsealed=unsealed)
        digest = writer.finish(_made("keyring", at))
    return Saved(out, digest, writer.done, 0, sum(name.endswith(".keys") for name in writer.members), ())


def require_ledger(data_dir: Path) -> None:
    """Raise where there is no ledger.

    Raises:
        RefusedError: then.
    """
    if not (data_dir / KEYS).is_dir():
        raise RefusedError(f"there is no ledger in {data_dir}")


def _seal_addresses(data_dir: Path, environ: Mapping[str, str]) -> None:
    """Seal the webhooks' URLs that a release before this one kept in the clear: a backup is to hold no secret."""
    directory = data_dir / NOTICES
    if not lie_open(directory):
        return
    try:
        entropy = SystemEntropy()
        keyring = Keyring.open(data_dir / KEYS, entropy, passphrase=passphrase_from(environ))
        Addresses(directory, cell_addresses(keyring, entropy)).read()
    except LedgerError as error:
        raise RefusedError(
            f"URLs of webhooks lie in the clear in {directory}, and the keyring can't be opened to seal them: {error}"
        ) from None


def _add_keys(writer: Writer, data_dir: Path, *, unsealed: bool) -> None:
    with locked(data_dir / KEYS / "lock"):
        add_files(writer, data_dir, (KEYS,), frozenset(() if unsealed else (MACHINE_KEY,)))
    if unsealed:
        add_files(writer, data_dir, OPEN_SECRETS)


def _made(kind: str, at: datetime) -> dict[str, object]:
    made_at = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"kind": kind, "made_at": made_at, "program": version("enclave-ledger")}
