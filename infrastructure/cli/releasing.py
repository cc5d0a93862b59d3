"""The command `release run`."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from typer import BadParameter

from infrastructure.attestation.roots import MAX_ROOT_FILE_BYTES, Roots, named_roots, vendor_roots
from infrastructure.cli.output import GOOD, WRONG, result, say
from infrastructure.cli.session import ledger_at
from infrastructure.client.files import read_bounded
from infrastructure.clock import SystemClock
from infrastructure.credentials.verifying import Verifying
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange.blocking import Client
from infrastructure.keys import wallet as wallets
from infrastructure.keys.memory import forbid_dumps
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.releasing.agent import ReleaseAgent
from infrastructure.releasing.demands import Demands, read_demands
from infrastructure.releasing.judging import Releaser
from infrastructure.releasing.nodes import NodeTrust
from infrastructure.releasing.sources import HttpSource, LocalSource, Source
from infrastructure.runtime.measurement import runtime_measurement

_ANY_NODE = (
    "which machine gets the inputs: the ledger's operator can offer one of its own making, and say anything of its "
    "country, operator and vendor"
)


@dataclass(frozen=True, slots=True)
class Believed:
    """Which nodes are believed, as a person said it.

    Attributes:
        issuers: DIDs whose node credentials count, beside those of the demands.
        any_node: every node is, without a credential.
        status: status lists of those credentials: a directory or a file.
        did: directory of DID documents of their issuers.
    """

    issuers: tuple[str, ...] = ()
    any_node: bool = False
    status: Path | None = None
    did: Path | None = None


def run(
    tenant: str,
    key: Path,
    *,
    server: str | None,
    data_dir: Path,
    once: bool,
    admins: Sequence[str],
    demands: Path | None,
    trust_root: Path | None,
    believed: Believed,
    as_json: bool,
) -> int:
    """Release until TERM, or once; return the exit code."""
    forbid_dumps()
    wallet = wallets.load(key)
    releaser = releaser_of(wallet, tenant, admins=admins, demands=demands, trust_root=trust_root, believed=believed)
    unchecked = [_ANY_NODE] if releaser.nodes.issuers is None else []
    for one in unchecked:
        say(f"WARNING: --any-node: {one}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    clock, entropy = SystemClock(), SystemEntropy()
    with _source(tenant, wallet, server, data_dir, stop) as source:
        agent = ReleaseAgent(source, wallet, releaser, clock=clock, entropy=entropy, tell=say, stop=stop)
        if not once:
            say(f"releasing for {tenant} as {releaser.kid}")
        counts = agent.once() if once else agent.run()
    members = {
        "tenant": tenant, "releaser": releaser.kid, "released": counts.released, "refused": counts.refused,
        "node_issuers": releaser.nodes.issuers, "not_checked": unchecked,
    }  # fmt: skip
    lines = [f"{counts.released} executions got their inputs, {counts.refused} did not"]
    lines += [f"  not checked  {one}" for one in unchecked]
    result(members, as_json=as_json, lines=lines)
    return WRONG if counts.refused else GOOD


def releaser_of(
    wallet: Wallet,
    tenant: str,
    *,
    admins: Sequence[str],
    demands: Path | None,
    trust_root: Path | None,
    believed: Believed,
) -> Releaser:
    """Return who releases with a wallet, and whom it believes.

    Raises:
        UnknownError: when the wallet holds no release key.
        MalformedError: when a file is not of its form.
        BadParameter: when nobody says which nodes are believed.
    """
    asked = Demands() if demands is None else read_demands(demands)
    known = frozenset((*admins, *(asked.admins or ()))) or frozenset({wallet.thumbprint(Purpose.GOVERNANCE)})
    return Releaser(
        tenant=tenant,
        kid=wallet.thumbprint(Purpose.ENDORSEMENT),
        release=wallet.custody().release,
        admins=known,
        demands=asked,
        nodes=_nodes(asked, believed),
        roots=_roots(trust_root),
        measurement=runtime_measurement(),
    )


def _nodes(asked: Demands, believed: Believed) -> NodeTrust:
    named = None if asked.node_issuers is None else tuple(asked.node_issuers)
    if believed.issuers:
        named = (*(named or ()), *believed.issuers)
    if (named is None) is not believed.any_node:
        raise BadParameter(
            "name whose node credentials count (--node-issuer, or node_issuers in --demands), or else --any-node"
        )
    return NodeTrust(named, Verifying.by_files(believed.did, believed.status))


def _roots(trust_root: Path | None) -> tuple[Roots, ...]:
    if trust_root is None:
        return (vendor_roots(),)
    return named_roots(read_bounded(trust_root, MAX_ROOT_FILE_BYTES)), vendor_roots()


@contextmanager
def _source(tenant: str, wallet: Wallet, server: str | None, data_dir: Path, stop: threading.Event) -> Iterator[Source]:
    if server is not None:
        clock, entropy = SystemClock(), SystemEntropy()
        yield HttpSource(Client(server, wallet, clock, entropy, purpose=Purpose.ENDORSEMENT, tenant=tenant))
        return
    with ledger_at(data_dir) as ledger:
        yield LocalSource(ledger, tenant, stop.is_set)
