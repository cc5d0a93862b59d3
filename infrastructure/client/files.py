"""Files that a person names: read no further than they may be long, written where nothing is yet."""

from pathlib import Path

from domain.errors import ConflictError, MalformedError, UnavailableError


def read_bounded(path: Path, limit: int) -> bytes:
    """Return a file's bytes.

    Raises:
        MalformedError: when it can't be read or is larger than `limit` bytes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise MalformedError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > limit:
        raise MalformedError(f"{path} is larger than {limit} bytes")
    return data


def write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet.

    Raises:
        ConflictError: when it is.
        UnavailableError: when the disk refuses.
    """
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise ConflictError(f"{path} exists already; name a file that does not") from None
    except OSError as error:
        raise UnavailableError(f"cannot write {path}: {error.strerror}") from None
