"""How a ledger checks credentials: its store of DID documents and status lists, and what it keeps of them.

Invariants:
- Both come through ports; by default from `credentials/did` and `credentials/status` below the data directory, where
  whoever publishes them, or a mirror, puts them. Nothing here reaches a network.
- A status list that names no end counts for a week from its beginning: the ledger never takes "good" from a list whose
  age nobody bounds.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from domain.time import DAY_MS
from infrastructure.credentials.executor import ExecutorClaims, verify_executor
from infrastructure.credentials.node import NodeClaims, verify_node
from infrastructure.credentials.resolving import DirectoryFetcher, Resolver
from infrastructure.credentials.status_checking import StatusChecker, StatusLists
from infrastructure.credentials.status_source import StatusFiles

DIRECTORY: Final = "credentials"
STATUS: Final = "status"
DID: Final = "did"
MAX_LIST_AGE_MS: Final = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class Verifying:
    """Verifies credentials for a ledger.

    Attributes:
        resolver: gives the keys of issuers.
        status: checks statuses; None: every credential that has one is refused.
    """

    resolver: Resolver
    status: StatusChecker | None

    @classmethod
    def below(cls, data_dir: Path | None, *, monotonic_s: Callable[[], float] = time.monotonic) -> Self:
        """Return what verifies by the files of a data directory; None: did:key alone, and no status."""
        if data_dir is None:
            return cls.by_files(None, None, monotonic_s=monotonic_s)
        files = data_dir / DIRECTORY
        return cls.by_files(files / DID, files / STATUS, monotonic_s=monotonic_s)

    @classmethod
    def by_files(
        cls, did: Path | None, status: Path | None, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> Self:
        """Return what verifies by a directory of DID documents and a directory or file of status lists; None: none."""
        resolver = Resolver(None if did is None else DirectoryFetcher(did), monotonic_s=monotonic_s)
        if status is None:
            return cls(resolver, None)
        return cls(resolver, StatusLists(StatusFiles(status), resolver, monotonic_s, max_age_ms=MAX_LIST_AGE_MS))

    def executor(self, document: Mapping[str, Any], issuers: Collection[str], at_ms: int) -> ExecutorClaims:
        """Verify a TEEExecutorVC. Raises as `verify_executor` does."""
        return verify_executor(
            document, trusted_issuers=issuers, at_ms=at_ms, status=self.status, resolver=self.resolver
        )

    def node(
        self, document: Mapping[str, Any], issuers: Collection[str], at_ms: int, *, node: str | None = None
    ) -> NodeClaims:
        """Verify a node's credential. Raises as `verify_node` does."""
        return verify_node(
            document, trusted_issuers=issuers, at_ms=at_ms, node=node, status=self.status, resolver=self.resolver
        )
