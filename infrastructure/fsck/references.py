"""Payloads that entries name: each is there, as long as its entry says."""

import re

from infrastructure.fsck.reading import Inspection
from infrastructure.fsck.report import Report
from infrastructure.postgres.records import Log

_REFERENCE = re.compile(rb'\{"digest":"([0-9a-f]{64})","plaintext_digest":"[0-9a-f]{64}","size_bytes":([0-9]{1,16})\}')
"""A StoredPayload in canonical form; in no other event has an object exactly these members."""


class References:
    """Collects what a page's events name, and looks whether it is there."""

    def __init__(self, inspection: Inspection, log: Log, report: Report) -> None:
        self._inspection = inspection
        self._log = log
        self._report = report
        self._waiting: list[tuple[int, bytes, int]] = []

    def take(self, leaf_index: int, event: bytes) -> None:
        """Take the payloads that an event (canonical JSON) names."""
        for digest, size in _REFERENCE.findall(event):
            self._waiting.append((leaf_index, bytes.fromhex(digest.decode()), int(size)))

    def check(self) -> None:
        """Look whether what was taken is there."""
        if not self._waiting:
            return
        known = self._inspection.known_payloads(self._log.log_id, sorted({digest for _, digest, _ in self._waiting}))
        for leaf_index, digest, size in self._waiting:
            if known.get(digest) != size:
                found = "missing" if digest not in known else f"{known[digest]} bytes long, not {size}"
                what = f"the payload {digest.hex()}, which the entry names, is {found}"
                self._report.differs("payloads", self._log.origin, what, entry=leaf_index)
        self._report.checked["payloads that entries name"] += len(self._waiting)
        self._waiting.clear()
