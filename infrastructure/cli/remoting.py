"""Commands at a server (--server, --profile): the same acts as in a data directory, over HTTP, and verified.

Invariants:
- Private keys stay here: what leaves is signed, and inputs leave sealed.
- Acknowledgements are verified before anything is printed, and written (--ack) before the answer is.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from domain.errors import LedgerError, MalformedError, NotAuthorisedError, UnknownError
from infrastructure.cli.acknowledged import Kept
from infrastructure.cli.output import result, say
from infrastructure.cli.session import load_wallets
from infrastructure.client.answers import Written
from infrastructure.client.profile import Profile, load_profile
from infrastructure.client.remote import Remote
from infrastructure.client.submission import read_submission_file
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.explaining import explained
from infrastructure.ids import SystemIds
from infrastructure.keys.memory import forbid_dumps
from infrastructure.keys.wallet import Purpose, Wallet

Row = dict[str, Any]
_AT_REST = frozenset({"done", "denied", "held", "expired", "cancelled", "failed", "rejected"})
"""States of a workload in which nothing more becomes of it by itself."""
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class There:
    """Which server a command asks, instead of a data directory."""

    profile: Profile

    @contextmanager
    def asked(self, keys: Sequence[Path], tenant: str | None) -> "Iterator[tuple[Remote, list[Wallet]]]":
        """Open the ledger at the server for one command: the first wallet asks, all of them may sign."""
        forbid_dumps()  # from here on this process holds keys
        own = self.profile
        wallets = load_wallets(keys or ([own.key] if own.key is not None else []))
        profile = _about(own, tenant or own.tenant)
        with Remote(profile, wallets[0], clock=SystemClock(), entropy=SystemEntropy(), ids=SystemIds()) as remote:
            yield remote, wallets


def _about(own: Profile, tenant: str) -> Profile:
    """Return a profile for the log that a command names; what is known of its own tenant's is not known of another."""
    if tenant == own.tenant:
        return own
    if own.origin is not None and own.tenant:
        say(f"the profile's trust is of {own.tenant}; of {tenant} what was told first counts")
    return replace(own, tenant=tenant, origin=None, acknowledgement_key=None, log_keys=(), admins=())


def there(server: str | None, profile: str | None, ca: Path | None) -> There | None:
    """Return the server that a command names, by its URL or a profile; None: the data directory.

    Raises:
        LedgerError: when there is no such profile, or it is not of its form.
    """
    if server is None and profile is None:
        if ca is not None:
            raise MalformedError("--ca goes with --server or --profile")
        return None
    if profile is not None or server is None:
        return There(load_profile(profile).with_(server=server, ca=ca, tenant=None))
    try:
        known = load_profile(None)
    except LedgerError:
        known = Profile(server)
    return There(known.with_(server=server, ca=ca, tenant=None))


def submit(
    at: There, file: Path, keys: Sequence[Path], tenant: str | None, *, wait_s: int, ack: Path | None, as_json: bool
) -> None:
    """Sign, seal and hand in a submission; and wait for what becomes of it, if asked to."""
    content, inputs = read_submission_file(file)
    with at.asked(keys, tenant) as (remote, _):
        written = remote.submit(content, inputs)
        denied = written.members.get("denied")
        state = f"denied: {denied['reason']}" if isinstance(denied, dict) else "handed in"
        lines, shown = [f"{written.members['workload']}  {state}"], Row()
        if wait_s:
            kept(written, ack)
            shown = _at_rest(remote, written.members["workload"], wait_s)
            lines = explained(shown)
    told(written, lines, ack, as_json=as_json, shown=shown)


def _at_rest(remote: Remote, workload: str, wait_s: float, attempt: int = 1) -> Row:
    """Wait until nothing more becomes of an attempt, or for so long; return what became of the workload by then."""
    until_s, status = time.monotonic() + wait_s, ""
    while True:
        row = remote.why(workload)
        begun = row["attempt"] >= attempt or row["status"] != "held"  # a new attempt is not queued at once
        if begun and row["status"] != status:
            status = row["status"]
            say(f"{workload}  {status}" + (f": {row['reason']}" if row["reason"] else ""))
        if (begun and status in _AT_REST) or time.monotonic() > until_s:
            return row
        time.sleep(_LOOK_S)


def cancel(
    at: There, workload: str, keys: Sequence[Path], tenant: str | None, *, ack: Path | None, as_json: bool
) -> None:
    """Take a waiting workload back."""
    with at.asked(keys, tenant) as (remote, _):
        written = remote.cancel(workload)
    told(written, [f"{workload}  cancelled"], ack, as_json=as_json)


def act(
    at: There,
    path: str,
    claims: Mapping[str, Any],
    keys: Sequence[Path],
    tenant: str | None,
    lines: Sequence[str],
    *,
    ack: Path | None = None,
    as_json: bool,
    shown: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    """Let wallets sign one act of governance, and hand it in. Arguments as for `Remote.act`.

    `shown`: further members for --json.
    """
    with at.asked(keys, tenant) as (remote, wallets):
        written = remote.act(path, claims, wallets, **more)
    told(written, list(lines), ack, as_json=as_json, shown=shown)


def retry(
    at: There, name: str, keys: Sequence[Path], tenant: str | None, bounds: Mapping[str, int], *, wait_s: int,
    ack: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Re-authorise a held workload or its faulted execution, with the bounds of before but for those that are given."""
    claims: Row = {"act": "authorize_retry", "execution": name}
    with at.asked(keys, tenant) as (remote, wallets):
        if bounds:
            claims["bounds"] = {**remote.draft(claims)["bounds"], **bounds}
        written = remote.act("/v1/retries", claims, wallets)
        lines, shown = [f"{written.members['workload']}  goes on with attempt {written.members['attempt']}"], Row()
        if wait_s:
            kept(written, ack)
            shown = _at_rest(remote, written.members["workload"], wait_s, written.members["attempt"])
            lines = explained(shown)
    told(written, lines, ack, as_json=as_json, shown=shown)


def why(at: There, name: str, keys: Sequence[Path], tenant: str | None, *, at_ms: int | None, as_json: bool) -> None:
    """Say what became of a workload, execution or CAC."""
    with at.asked(keys, tenant) as (remote, _):
        found = remote.why(name, at_ms=at_ms)
    result(found, as_json=as_json, lines=explained(found))


def get_as_admin(remote: Remote, path: str, **query: Any) -> Row:
    """Return what those who govern or audit see at a path: asked as an admin, else with whichever key is enrolled."""
    try:
        return remote.get(path, Purpose.GOVERNANCE, **query)
    except (NotAuthorisedError, UnknownError):
        return remote.get(path, **query)


def list_cacs(at: There, keys: Sequence[Path], tenant: str | None, *, as_json: bool) -> None:
    """List CACs of the tenant."""
    with at.asked(keys, tenant) as (remote, _):
        rows = remote.pages("/v1/cacs", "cacs")
    lines = [f"{row['cac']}  {row['outcome']:<8} {row['clause_id']}  on {row['node']}" for row in rows]
    result({"cacs": rows}, as_json=as_json, lines=lines or ["no CAC yet"])


def show_cac(at: There, cac: str, keys: Sequence[Path], tenant: str | None, *, as_json: bool) -> None:
    """Show a CAC as the enclave signed it, once it was held against the log."""
    with at.asked(keys, tenant) as (remote, _):
        found = remote.cac(cac)
    about = found["document"]["tenant_info"]
    lines = [
        f"{cac}  {found['document']['outcome']}",
        f"for       {about['dao']}/{about['jurisdiction']}  {about['resource_class']}  {about['workload_id']}",
        f"signed by {found['document']['proof']['verificationMethod']}",
        f"issued by entry {found['proof']['index']} of {found['proof']['checkpoint'].splitlines()[0]}",
    ]
    members: Row = {"cac": found["document"]}
    if "overturned" in found:
        members["overturned"] = found["overturned"]
        lines.append(f"OVERTURNED by dispute {found['overturned']['dispute']}")
    result(members, as_json=as_json, lines=lines)


def kept(written: Written, ack: Path | None) -> Kept:
    """Write what acknowledges a statement, if asked to; before anything else can go wrong."""
    found = Kept()
    found.acknowledgements = list(written.acknowledgements)
    if ack is not None:
        found.write(ack)
    return found


def told(
    written: Written, lines: list[str], ack: Path | None, *, as_json: bool, shown: Mapping[str, Any] | None = None
) -> None:
    """Tell what was acknowledged, once its acknowledgements are kept (`ack`: their directory)."""
    found = kept(written, ack)
    places = ", ".join(str(one["leaf_index"]) for one in written.members["places"])
    lines = [*lines, f"acknowledged as entry {places}"]
    result({**(shown or {}), **written.members, **found.members()}, as_json=as_json, lines=lines)
