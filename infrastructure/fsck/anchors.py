"""The anchor log: its rounds follow each other, each is what its slots commit to, and these rounds are published."""

from domain.errors import VerificationError
from domain.transparency.anchor_slots import SlotKeys
from domain.transparency.anchors import AnchorEntry
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.anchors.keys import anchor_log_origin, anchor_signer
from infrastructure.anchors.openings import remade
from infrastructure.anchors.places import anchor_tiles
from infrastructure.anchors.rounds import Rounds
from infrastructure.fsck.published import check_published
from infrastructure.fsck.reading import Inspection
from infrastructure.fsck.report import Report
from infrastructure.ledger import Ledger
from infrastructure.publish.places import floors_of

TABLE = "anchor_rounds"


def read_anchors_outside(ledger: Ledger, report: Report) -> list[tuple[str, Checkpoint]]:
    """Read what lies outside the database, before the rounds are pinned: (where, checkpoint)."""
    found: list[tuple[str, Checkpoint]] = []
    origin = anchor_log_origin(ledger)
    with report.reading("published", origin):
        published = anchor_tiles(ledger, origin).checkpoint()
        if published is not None:
            found.append(("published", published))
    with report.reading("floors", origin):
        floor = floors_of(ledger).read(origin)
        if floor is not None:
            found.append(("floors", floor))
    return found


def check_anchors(
    ledger: Ledger, inspection: Inspection, rounds: int, outside: list[tuple[str, Checkpoint]], report: Report
) -> None:
    """Look at the rounds, at what they commit to, and at what is published of them."""
    origin = anchor_log_origin(ledger)
    frontier, sizes = Frontier.empty(), {checkpoint.size for _, checkpoint in outside}
    roots = {0: frontier.root()}
    for number, entry, stored in inspection.rounds(rounds):
        if number != frontier.size:
            report.differs(TABLE, origin, f"rounds {frontier.size} to {number - 1} are missing", entry=frontier.size)
            return
        with report.reading(TABLE, origin, entry=number):
            if entry is None or AnchorEntry.parse(entry).round_index != number:
                raise VerificationError("it is longer than an entry, or of another round")
        frontier = frontier.append(leaf_hash(entry or b""))
        if frontier.to_bytes() != stored:
            report.differs(TABLE, origin, "its frontier is not that of the entries", entry=number)
            return
        if frontier.size in sizes:
            roots[frontier.size] = frontier.root()
        report.checked["rounds of the anchor log"] += 1
    for where, checkpoint in outside:
        if roots.get(checkpoint.size) != checkpoint.root:
            report.differs(where, origin, f"size {checkpoint.size}: its root is not that of the rounds")
    _remake(ledger, origin, rounds, report)
    if outside:
        keys = anchor_signer(ledger).verifier_keys()
        check_published(anchor_tiles(ledger, origin), origin, lambda _: keys, report)


def _remake(ledger: Ledger, origin: str, rounds: int, report: Report) -> None:
    with report.reading("anchored_checkpoints", origin):
        secret = ledger.keyring.platform_secrets().anchor
        for _ in remade(Rounds(ledger.datastore), SlotKeys(secret), 0, rounds):
            report.checked["rounds made again from what their slots commit to"] += 1
