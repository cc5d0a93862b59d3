"""A bundle as a server sends it, one tar archive: unpacked as nothing but files below one directory, and verified.

Invariants:
- Regular files of plain names only, nothing outside the directory, nothing replaced; sizes and numbers are bounded.
"""

import io
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from domain.errors import ConflictError, UnavailableError, VerificationError
from domain.transparency.note import VerifierKey
from infrastructure.audit.verify import verify_bundle
from infrastructure.tlog.verdict import Verification

MOST_FILES: Final = 200_000
_PATH: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._-]{0,127}){0,15}")


def unpack(data: bytes, out: Path, *, origin: str | None, log_keys: Sequence[VerifierKey]) -> Verification:
    """Unpack a log's bundle and verify it.

    Args:
        data: the archive.
        out: a directory that is missing or empty.
        origin: the log's, where it is known.
        log_keys: the log's, from elsewhere; none: it is verified to be consistent only.

    Raises:
        VerificationError: when the archive is none, or the bundle does not verify.
        ConflictError: when the directory holds something.
    """
    extract(data, out)
    verdict = verify_bundle(out, log_keys=[str(one) for one in log_keys])
    if not verdict.ok:
        raise VerificationError(f"the bundle that the server gave does not verify: {verdict.first_error}")
    if origin is not None and verdict.origin != origin:
        raise VerificationError(f"the server gave the bundle of {verdict.origin}, not of {origin}")
    return verdict


def extract(data: bytes, out: Path) -> None:
    """Write the files of an archive. Arguments and errors as for `unpack`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConflictError(f"{out} is there already, and nothing is replaced; name another directory")
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for number, member in enumerate(archive):
                if number >= MOST_FILES or not member.isreg() or not _PATH.fullmatch(member.name):
                    raise VerificationError("the server's archive holds something else than a bundle's files")
                content = archive.extractfile(member)
                path = out / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    file.write(content.read() if content is not None else b"")
    except (tarfile.TarError, EOFError):
        raise VerificationError("the server's answer is no archive") from None
    except FileExistsError:
        raise VerificationError("the server's archive names a file twice") from None
    except OSError as error:
        raise UnavailableError(f"cannot write {out}: {error.strerror}") from None
