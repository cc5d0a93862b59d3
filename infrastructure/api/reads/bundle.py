"""/v1/audit/bundle: the log's bundle (wire formats 2) as one tar archive, streamed.

Invariants:
- That it is exported is in the log before the first byte leaves; keys that go along are disclosed by an event too.
- Few are made at once, one for each principal. What is made for it lies below the data directory, its owner's alone,
  and goes when the answer ends, however it ends; what a crash leaves goes with the next start (api/exports.py).
- What is sent has an end in time, by its size; and whether the asker may have the rest is looked up again while it is
  sent. An archive that is broken off lacks its end: no client takes it for whole.
"""

import asyncio
import shutil
import tarfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal

from anyio import to_thread
from fastapi import APIRouter
from fastapi.params import Query as InQuery
from starlette.requests import Request
from starlette.responses import Response

from domain.access.events import RouteClass
from domain.errors import LedgerError, NotAuthorisedError, RefusedError
from infrastructure.anchors.exporting import bundle_files
from infrastructure.api.askers import Principal
from infrastructure.api.problems import busy
from infrastructure.api.reads.answers import EXPORTS, apart
from infrastructure.api.reads.queries import Query
from infrastructure.api.reads.streams import CutError, Streamed
from infrastructure.api.rights import Role
from infrastructure.api.state import Parts, Serving, asker, serving
from infrastructure.audit.export import export_bundle
from infrastructure.ledger import Ledger
from infrastructure.tlog.files import walk

_MAY_OPEN: Final = frozenset({Role.ADMIN, Role.AUDITOR})
_CHUNK_BYTES: Final = 65_536
_BLOCK_BYTES: Final = 512

LOOK_EVERY: Final = 64
"""Pieces after which it is looked up again whether the asker may have the rest."""
LOOK_EVERY_S: Final = 5.0
"""And seconds, where it takes them slowly."""
LEAST_S: Final = 120.0
SLOWEST_BYTES_S: Final = 262_144
"""So slowly may a client take a whole archive, and LEAST_S longer."""

Export = Callable[[Ledger, Path, str], object]
"""Writes to a directory that is missing, for a recipient."""

router = APIRouter()


class BundleQuery(Query):
    """`keys`: of which streams the keys go along: of all, or of those that everybody enrolled may read."""

    keys: Literal["all", "public"] | None = None


@router.get("/v1/audit/bundle", response_class=Response)
async def bundle(request: Request, query: Annotated[BundleQuery, InQuery()]) -> Response:
    """Export the log: a tar archive of its bundle at its present size."""
    who, log_id = asker(request)
    if query.keys is not None and (who.role not in _MAY_OPEN or (who.admission and query.keys == "all")):
        raise NotAuthorisedError(
            "keys go to admins and auditors of a log only, who are enrolled with a key of their own"
        )

    def export(ledger: Ledger, out: Path, recipient: str) -> None:
        further = bundle_files(ledger, ledger.log(log_id))
        export_bundle(ledger, log_id, out, with_keys=query.keys, recipient=recipient, further=further)

    return await exported(request, "bundle", export)


async def exported(request: Request, route_class: RouteClass, export: Export) -> Response:
    """Answer with a tar archive of what is exported, once that is recorded.

    Args:
        request: the request.
        route_class: as what the access is recorded.
        export: writes it.

    Raises:
        ProblemError: when too many are being made (503).
    """
    serves, (who, _) = serving(request), asker(request)
    parts = serves.need()
    if not serves.exports.enter(who.share):
        raise busy("too many bundles are being exported: try again", 10)
    try:
        made = await apart(request, lambda: _made(parts, who, route_class, export), EXPORTS)
    except BaseException:
        serves.exports.leave(who.share)
        raise
    request.state.unrecorded = True  # it is recorded already
    headers = {"Content-Disposition": 'attachment; filename="bundle.tar"'}
    pieces = _pieces(request, parts, who, made)
    return Streamed(pieces, partial(_end, serves, who, made), "application/x-tar", headers)


def _made(parts: Parts, who: Principal, route_class: RouteClass, export: Export) -> Path:
    ledger = parts.ledger
    if parts.exports is None:
        raise RefusedError("this ledger was opened without a data directory: nothing can be exported")
    parts.accesses.record(who, route_class)
    out = parts.exports.new()
    try:
        export(ledger, out, who.recipient)
    except BaseException:
        _removed(out)
        raise
    return out


async def _pieces(request: Request, parts: Parts, who: Principal, made: Path) -> AsyncGenerator[bytes, None]:
    """Yield the archive, for as long as the asker may have it and takes it fast enough.

    Raises:
        CutError: when it may not any more, or this process ends, or time is over: the answer breaks off.
    """
    archive, count, looked_s = _archive(made), 0, -LOOK_EVERY_S
    until_s = time.monotonic() + LEAST_S + await apart(request, lambda: _size(made)) / SLOWEST_BYTES_S
    while True:
        now_s = time.monotonic()
        if now_s > until_s or serving(request).stopping.is_set():
            raise CutError
        if count % LOOK_EVERY == 0 or now_s >= looked_s + LOOK_EVERY_S:
            await _require_still(parts, who)
            looked_s = now_s
        piece = await apart(request, lambda: next(archive, b""))
        if not piece:
            return
        count += 1
        yield piece


async def _require_still(parts: Parts, who: Principal) -> None:
    try:
        await to_thread.run_sync(parts.access.require_in_force, who)
    except LedgerError:
        raise CutError from None


def _size(root: Path) -> int:
    return sum((root / path).stat().st_size for path in walk(root))


def _end(serves: Serving, who: Principal, made: Path) -> None:
    serves.exports.leave(who.share)
    asyncio.get_running_loop().run_in_executor(None, _removed, made)


def _archive(root: Path) -> Iterator[bytes]:
    """Yield a tar archive (POSIX ustar) of a directory's files, by path, without times and owners."""
    for path in walk(root):
        file = root / path
        about = tarfile.TarInfo(path)
        about.size, about.mode = file.stat().st_size, 0o600
        yield about.tobuf(tarfile.USTAR_FORMAT)
        left = about.size
        with file.open("rb") as opened:
            while left and (piece := opened.read(min(left, _CHUNK_BYTES))):
                left -= len(piece)
                yield piece
        if about.size % _BLOCK_BYTES:
            yield b"\0" * (-about.size % _BLOCK_BYTES)
    yield b"\0" * (2 * _BLOCK_BYTES)


def _removed(made: Path) -> None:
    shutil.rmtree(made, ignore_errors=True)
    shutil.rmtree(made.parent / f".{made.name}.partial", ignore_errors=True)
