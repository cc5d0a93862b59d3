"""A log exported from a server: what came is unpacked, and verified before anything is said of it."""

import base64
from collections.abc import Sequence
from pathlib import Path

from infrastructure.cli.output import result
from infrastructure.cli.remoting import There


def export(at: There, tenant: str, out: Path, with_keys: str | None, keys: Sequence[Path], *, as_json: bool) -> None:
    """Export a log as a bundle."""
    with at.asked(keys, tenant) as (remote, _):
        verdict = remote.bundle(out, keys=with_keys)
    root = base64.b64encode(bytes.fromhex(verdict.root_hex or "")).decode()
    members = {
        "origin": verdict.origin, "size": verdict.size, "root": root, "out": str(out), "trust": verdict.trust,
        "fingerprints": list(verdict.fingerprints),
    }  # fmt: skip
    lines = [f"{verdict.origin} at size {verdict.size} in {out}", f"root     {root}", f"verdict  {verdict.trust}"]
    result(members, as_json=as_json, lines=lines)
