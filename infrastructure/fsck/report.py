"""What the check of a database found, and what it did not look at.

Invariants:
- Each difference names table or file, log, and entry where there is one. So many are kept; all are counted.
- Nothing of an entry's content is in a difference, and nothing unprintable.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from domain.errors import LedgerError, UnavailableError
from infrastructure.audit.opening import CONTENT_ERRORS

MOST_DIFFERENCES = 1000
_MAX_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: where (table, or `published`, `floors`, `keyring`), of which log, at which entry, and what."""

    table: str
    log: str | None
    entry: int | None
    what: str

    def __str__(self) -> str:
        place = "" if self.entry is None else f" entry {self.entry}"
        return f"{self.table}: {self.log or 'the cell'}{place}: {self.what}"


@dataclass
class Report:
    """Collects what was found.

    Attributes:
        sizes: of the logs that were looked at, by origin.
        checked: how often, by what.
        not_checked: what was left out, in words.
    """

    differences: list[Difference] = field(default_factory=list)
    total: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    checked: Counter[str] = field(default_factory=Counter)
    not_checked: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Tell whether nothing differs."""
        return not self.total

    def differs(self, table: str, log: str | None, what: str, *, entry: int | None = None) -> None:
        """Note a difference."""
        self.total += 1
        if len(self.differences) < MOST_DIFFERENCES:
            text = what[:_MAX_CHARACTERS]
            self.differences.append(Difference(table, log, entry, text if text.isprintable() else ascii(text)))

    def require(self, holds: bool, table: str, log: str | None, what: str) -> bool:
        """Note a difference where something does not hold; tell whether it does."""
        if not holds:
            self.differs(table, log, what)
        return holds

    @contextmanager
    def reading(self, table: str, log: str | None, *, entry: int | None = None) -> Iterator[None]:
        """Turn what damaged content raises into a difference. A database that does not answer is none."""
        try:
            yield
        except UnavailableError:
            raise
        except CONTENT_ERRORS as error:
            self.differs(table, log, str(error) if isinstance(error, LedgerError) else "not of its form", entry=entry)

    def to_json(self) -> dict[str, Any]:
        """Return its members for `--json`."""
        return {
            "ok": self.ok,
            "logs": [{"origin": origin, "size": size} for origin, size in self.sizes.items()],
            "first_error": str(self.differences[0]) if self.differences else None,
            "differences": [asdict(one) for one in self.differences],
            "total": self.total,
            "checked": [f"{count} {what}" for what, count in sorted(self.checked.items())],
            "not_checked": self.not_checked,
        }
