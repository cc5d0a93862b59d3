"""Which TEEExecutorVC a tenant gets: one that was issued elsewhere, or one that the scope's admin signs now."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import RefusedError
from domain.identifiers import parse_clause_id, parse_dao
from domain.jurisdictions import parse_jurisdiction
from domain.time import DAY_MS
from infrastructure.credentials.data_integrity import Document
from infrastructure.credentials.executor import ExecutorSubject, issue_executor
from infrastructure.keys.wallet import Purpose, Wallet

YEAR_MS = 365 * DAY_MS
DEFAULT_MEMORY_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a credential shall cover; or `issued`, the credential itself, with a status or under a parent's perhaps."""

    families: Sequence[str] = ()
    resource_classes: Sequence[str] = ()
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    valid_ms: int = YEAR_MS
    issued: Document | None = None

    def credential(self, now_ms: int, issuer: Wallet, *, did: str, dao: str, jurisdiction: str) -> Document:
        """Return the credential of a tenant.

        Raises:
            RefusedError: when it covers nothing.
            MalformedError: when a name in it is none.
        """
        if self.issued is not None:
            return self.issued
        if not self.families or not self.resource_classes:
            raise RefusedError(
                "a TEEExecutorVC names at least one clause family (--clause) and resource class (--class)"
            )
        subject = ExecutorSubject(
            id=did,
            dao=parse_dao(dao),
            jurisdiction=parse_jurisdiction(jurisdiction),
            clause_families=tuple(sorted({parse_clause_id(f"{family}@0.0.0").family for family in self.families})),
            resource_classes=tuple(sorted(set(self.resource_classes))),
            maximum_memory_bytes=self.memory_bytes,
        )
        return issue_executor(
            subject,
            issuer.key(Purpose.CREDENTIAL),
            valid_from_ms=now_ms,
            valid_until_ms=now_ms + self.valid_ms,
            created_ms=now_ms,
        )
