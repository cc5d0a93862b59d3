"""What a served demo came to, in a page, with what to try next: while it stands, and of what it leaves."""

import shlex
from collections.abc import Iterator, Sequence

from infrastructure.demo.cast import LEVELS, MEMBERS, PRICE
from infrastructure.demo.proof import Proof
from infrastructure.demo.served.scene import ServedScene
from infrastructure.demo.summary import PROGRAM, denials, proved, tally


def summary(
    scene: ServedScene, proofs: Sequence[Proof], url: str, dispute: str, *, events: int, seconds: float, keep: bool
) -> tuple[str, ...]:
    """Return the lines.

    Args:
        scene: what was played.
        proofs: what the auditor found.
        url: of the service.
        dispute: the one that was decided.
        events: entries of all logs that were exported.
        seconds: how long it took.
        keep: whether the service stays up.
    """
    return (
        *_counts(scene, url, events, seconds),
        *denials(scene.board),
        *proved(proofs, "what was told over HTTP"),
        "All logs stand in one anchor log, which a witness (here a thread of this program) cosigned round by round.",
        *_next(scene, proofs, url, dispute, keep=keep),
    )


def _counts(scene: ServedScene, url: str, events: int, seconds: float) -> Iterator[str]:
    board = scene.board
    counts = board.counts
    nodes = sum(child.name.startswith("node-") for child in scene.processes.running)
    yield ""
    yield f"{len(MEMBERS)} tenants at {url}, {nodes} nodes and 2 releasers over HTTP, {events} events, {seconds:.1f} s"
    yield (
        f"{counts['submitted']} submitted, {counts['executed']} executed, {counts['cacs']} CACs"
        f" ({tally(board.outcomes)}), {counts['overturned']} overturned by a dispute"
    )
    yield (
        f"{counts['quorums']} quorum of three independent enclaves; {counts['borrowed']} ran on borrowed slots,"
        f" {counts['overflowed']} overflowed to the reserve, {counts['deferred']} told to wait"
    )
    yield f"{counts['faulted']} faults ({tally(board.faults)}), {counts['reauthorised']} re-authorised and run again"
    waits = (
        f"{name} {board.waited_ms[name] / board.placed[name] / 1000:.1f} s" for name in LEVELS if board.placed[name]
    )
    yield f"mean wait by level, highest first: {', '.join(waits)}"


def _next(scene: ServedScene, proofs: Sequence[Proof], url: str, dispute: str, *, keep: bool) -> Iterator[str]:
    folder, proof = scene.founded.folder, proofs[0]
    run, bundle = shlex.quote(str(folder)), shlex.quote(str(proof.path))
    price = f"--tenant {PRICE.name} --key {shlex.quote(str(scene.founded.path(f'{PRICE.dao}-admin')))}"
    yield ""
    if keep:
        yield f"It stays up at {url} until Ctrl-C or TERM. Try, from another terminal:"
        yield f"  curl {url}/readyz; curl {url}/metrics"
        yield f"  {PROGRAM} cac list {price} --server {url}"
        yield f"  {PROGRAM} why {_of(scene, PRICE.name)} {price} --server {url}"
        yield f"  {PROGRAM} audit export --out own {price} --server {url}"
        yield "and of what it wrote:"
    else:
        yield "Its processes have ended. Try next (--keep leaves the service up):"
    yield f"  {PROGRAM} audit verify {bundle} --policy {shlex.quote(str(proof.policy))}"
    yield f"  {PROGRAM} audit replay {bundle}"
    yield f"  {PROGRAM} why {scene.board.last_denied} --data-dir {run}"
    yield f"  {PROGRAM} dispute show {dispute} --data-dir {run}"


def _of(scene: ServedScene, tenant: str) -> str:
    """Return a tenant's workload that was denied, or its last one."""
    return scene.listeners[tenant].denied()
