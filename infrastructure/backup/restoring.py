"""Makes a data directory out of backups.

Invariants:
- Both archives are read to their ends, and found whole, before anything is made; the keyring opens what every
  generation of keys has sealed.
- The database is filled in one transaction; the directory gets its name when everything in it is durable. Whatever goes
  wrong before leaves neither; what a kill leaves goes when the next restore begins. The exception: an external database
  that was filled when the disk then refused the directory.
- Every log is frozen afterwards: what was signed after the backup is told by floors, published logs and witnesses only,
  and `log thaw` asks them.
- A tenant whose keys were destroyed and come back with an older keyring is named: they have to be destroyed again.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import IO
from uuid import UUID

import psycopg

from domain.errors import RefusedError, UnavailableError, UnknownError
from infrastructure.backup.archive import KnownLog, Manifest, Progress, Reader
from infrastructure.backup.files import BESIDE, FLOORS, KEYS, OPEN_SECRETS, place_of
from infrastructure.backup.kept import freeze_all, take_kept
from infrastructure.backup.keys_needed import require_generations, require_logs, require_published
from infrastructure.backup.tables import Incoming, check_schema
from infrastructure.entropy import Entropy
from infrastructure.keys.keyring import Keyring
from infrastructure.keys.private_files import make_private_directory, sync_directory, write_private
from infrastructure.keys.wrapping import passphrase_from
from infrastructure.postgres.connect import URL_VARIABLE, reach_database
from infrastructure.postgres.embedded import EmbeddedServer
from infrastructure.postgres.migrate import migrate, migrations
from infrastructure.tlog.building import check_free

_DIRECTORY = 0o755
_LOCK = "restoring.lock"


@dataclass(frozen=True, slots=True)
class Sources:
    """What a cell is restored from.

    Attributes:
        archive: of the database.
        keyring: archive of the keyring.
        machine_key: file of the machine key, where the keyring is wrapped by one that its archive does not hold.
        kept: a directory with floors, anchors and published logs that survived.
    """

    archive: Path
    keyring: Path
    machine_key: Path | None = None
    kept: Path | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back.

    Attributes:
        made_at: when the backup was made.
        logs: how many; all are frozen.
        schema: the version that the backup had, and has now.
        destroy_again: origins of tenants that were erased and whose data keys came back.
    """

    made_at: str
    logs: int
    schema: tuple[int, int]
    destroy_again: tuple[str, ...]


def restore(
    sources: Sources,
    data_dir: Path,
    environ: Mapping[str, str],
    *,
    entropy: Entropy,
    told: Progress = lambda _done: None,
) -> Restored:
    """Make a data directory, and fill its embedded database or the empty one that the environment names.

    Raises:
        ConflictError: when the directory holds something.
        RefusedError: when the database holds a ledger, the backup's schema is newer than this program, archives are of
            another kind, or keys are missing.
        VerificationError: when an archive is damaged.
        UnavailableError: when database or disk refuse.
    """
    check_free(data_dir)
    manifest = _verified(sources.archive, "database", told)
    keyring = _verified(sources.keyring, "keyring", told)
    check_schema(_digests(manifest), migrations())
    with _aside(data_dir) as made:
        _unpack_files(sources.keyring, keyring, made, (KEYS, *OPEN_SECRETS))
        if sources.machine_key is not None:
            write_private(made / KEYS / "machine.key", _machine_key(sources.machine_key), new=True)
        keys = _opened(made, environ, entropy)
        require_logs(keys, manifest)
        if sources.kept is not None:
            require_published(keys, entropy, sources.kept, manifest.logs)
        with reach_database(made, environ) as database:
            closed = _fill(
                database.conninfo, sources.archive, manifest, made,
                partial(require_generations, keys, entropy, logs=manifest.logs),
            )  # fmt: skip
            if sources.kept is not None:
                take_kept(sources.kept, made)
            origins = [log.origin for log in manifest.logs]
            freeze_all(made, origins, manifest.made_at, alone=sources.kept is None)
            schema = migrate(database.conninfo)
        back = [log.origin for log in manifest.logs if log.log_id in closed and not keys.get(UUID(log.log_id)).erased]
    return Restored(manifest.made_at, len(manifest.logs), (len(manifest.migrations), schema), tuple(back))


def _verified(path: Path, kind: str, told: Progress) -> Manifest:
    with Reader(path, told) as reader:
        manifest = reader.verified()
    if manifest.kind != kind:
        raise RefusedError(f"{path} is a backup of the {manifest.kind}, not of the {kind}")
    return manifest


def _digests(manifest: Manifest) -> list[bytes]:
    return [bytes.fromhex(one) for one in manifest.migrations]


@contextmanager
def _aside(data_dir: Path) -> Iterator[Path]:
    """Give a directory beside the final place; it gets its name at the end, or is gone."""
    try:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{data_dir.name[:64]}.restoring."
        _clear(data_dir.parent, prefix)
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=data_dir.parent))
        try:
            with _at_work(made):
                yield made
            (made / _LOCK).unlink()
            made.chmod(_DIRECTORY)
            _sync_below(made)
            check_free(data_dir)
            made.rename(data_dir)
            sync_directory(data_dir.parent)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as error:
        raise UnavailableError(f"cannot make {data_dir}: {error.strerror or error}") from None


@contextmanager
def _at_work(made: Path) -> Iterator[None]:
    """Say that somebody is at work on a directory; not inherited, so it ends with this process, however that ends."""
    lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)


def _clear(parent: Path, prefix: str) -> None:
    """Remove what killed restores left: a server that still runs, keys, half a database."""
    for left in parent.glob(f"{prefix}*"):
        try:
            with _at_work(left):
                if (left / "postgres/cluster/PG_VERSION").exists():
                    with EmbeddedServer(left):
                        pass  # who leaves last stops it
                shutil.rmtree(left)
        except BlockingIOError:
            continue  # another restore is at work


def _unpack_files(archive: Path, manifest: Manifest, into: Path, allowed: tuple[str, ...]) -> None:
    with Reader(archive) as reader:
        for name, data in reader.agreeing(manifest):
            _unpack(into, place_of(name, allowed), data)


def _unpack(into: Path, path: str, data: Iterator[bytes]) -> None:
    target = into / path
    for folder in reversed(Path(path).parents[:-1]):
        make_private_directory(into / folder)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in data:
            file.write(piece)
        _synced(file)


def _synced(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _machine_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}") from None


def _opened(made: Path, environ: Mapping[str, str], entropy: Entropy) -> Keyring:
    """Open the restored keyring: who can't does not find that out after the database was filled."""
    if not (made / KEYS / "keyring.json").is_file():
        raise RefusedError("the backup of the keyring holds none")
    try:
        return Keyring.open(made / KEYS, entropy, passphrase=passphrase_from(environ))
    except UnknownError:
        raise RefusedError(
            "the keyring is wrapped by a machine key, which is not in its backup: name your copy with --machine-key"
        ) from None


def _fill(
    conninfo: str, archive: Path, manifest: Manifest, made: Path, check: Callable[[psycopg.Connection], None]
) -> set[str]:
    """Fill database and directory from the archive, if `check` finds nothing wrong; return the ids of closed logs."""
    try:
        with Reader(archive) as reader, psycopg.connect(conninfo) as connection:
            incoming = Incoming(connection, migrations(), _digests(manifest))
            filled = set()
            for table, members in groupby(reader.agreeing(manifest), lambda one: _table_of(one[0])):
                if table is None:
                    for name, data in members:
                        _unpack(made, place_of(name, (FLOORS, *BESIDE)), data)
                elif table in manifest.tables and table not in filled:
                    filled.add(table)
                    incoming.fill(table, manifest.tables[table], (piece for _, data in members for piece in data))
                else:
                    raise RefusedError(f"the backup holds a table {table[:80]!a} that its manifest does not name")
            if filled != manifest.tables.keys():
                raise RefusedError("the backup lacks tables that its manifest names")
            check(connection)
            found, closed = incoming.finish()
            _require_same(found, manifest)
    except psycopg.errors.UniqueViolation:
        raise RefusedError("the backup's tables contradict each other") from None
    except psycopg.Error as error:
        words = error.diag.message_primary or "the connection was lost"
        raise UnavailableError(f"the database can't be filled: {words} ({_where(conninfo)})") from None
    return closed


def _require_same(found: list[KnownLog], manifest: Manifest) -> None:
    if tuple(found) != manifest.logs:
        raise RefusedError("the backup's tables are not those of its manifest")


def _table_of(member: str) -> str | None:
    folder, _, rest = member.partition("/")
    return rest.partition("/")[0] if folder == "database" else None


def _where(conninfo: str) -> str:
    host = psycopg.conninfo.conninfo_to_dict(conninfo).get("host", "")
    return "embedded" if str(host).startswith("/") else URL_VARIABLE


def _sync_below(directory: Path) -> None:
    """Make the names of all directories durable, but for PostgreSQL's own, which sees to that itself."""
    for folder, names, _ in os.walk(directory):
        if "postgres" in names and Path(folder) == directory:
            names.remove("postgres")
        sync_directory(Path(folder))
