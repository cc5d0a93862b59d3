"""What a verification says.

Invariants:
- `trust` is one of the four phrases here. "verified" stands only where a key from outside has signed.
- What was not checked is said, never left to be guessed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from domain.errors import MalformedError, VerificationError
from domain.transparency.key_notes import KeyNote

VERIFIED = "verified"
SELF_CONSISTENT = "self-consistent; origin not authenticated"
HASHES_ONLY = "hashes verified; entries not present"
REFUSED = "not verified"
NOT_WITNESSED = "not independently witnessed: only the log's own keys say that everyone sees this history"


@dataclass(frozen=True, slots=True)
class Findings:
    """What a verification that found no fault has to tell.

    `fingerprints` are of the keys whose signatures were checked; `signed_at_unix_s` is the newest time that one states;
    `key_notes` are the generations of the log's keys, empty where they were never rotated.
    """

    trust: str
    checked: tuple[str, ...]
    not_checked: tuple[str, ...]
    fingerprints: tuple[str, ...]
    signed_at_unix_s: int | None
    key_notes: tuple[KeyNote, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome for one directory. Origin, size and root are what its checkpoint says, where it can be read.

    `first_error` names the file, relative to the directory, and the leaf index where there is one.
    """

    ok: bool
    trust: str
    origin: str | None = None
    size: int | None = None
    root_hex: str | None = None
    first_error: str | None = None
    checked: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    signed_at_unix_s: int | None = None
    key_notes: tuple[KeyNote, ...] = ()


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Turn a format's refusal into a verification error that names the file."""
    try:
        yield
    except MalformedError as error:
        raise VerificationError(f"{path}: {error}") from None
    except VerificationError as error:
        text = str(error)
        raise VerificationError(text if text.startswith(f"{path}: ") else f"{path}: {text}") from None
