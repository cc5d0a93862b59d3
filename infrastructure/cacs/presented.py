"""A CAC as somebody presents it: its document, and what the form around it has proved."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from domain.cacs.claims import CacRefusedError, Refusal
from domain.errors import LedgerError
from infrastructure.cacs.receipt import Receipt

Form = Literal["json", "vc", "scitt"]


@dataclass(frozen=True, slots=True)
class Presented:
    """What a file holds.

    Args:
        form: which of the three.
        document: the CAC as its enclave signed it; nothing of it is checked.
        attestation_key: whose signature the form carries, and verified by it (32 bytes); None where it carries none.
        receipt: verified by that key; None where there is none.
        checked: what was checked of the form.
    """

    form: Form
    document: dict[str, Any]
    attestation_key: bytes | None = None
    receipt: Receipt | None = None
    checked: tuple[str, ...] = ()


@contextmanager
def refusing(reason: Refusal) -> Iterator[None]:
    """Turn what goes wrong inside into a CAC's refusal for this reason."""
    try:
        yield
    except CacRefusedError:
        raise
    except LedgerError as error:
        raise CacRefusedError(reason, str(error)) from None
