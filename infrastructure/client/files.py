"""Files that a person names, read no further than they may be long."""

from pathlib import Path

from domain.errors import MalformedError


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
