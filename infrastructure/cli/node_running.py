"""The commands `node run` and `node machine`."""

import signal
from pathlib import Path

from domain.attestation.appraise import platform_id
from domain.errors import NotAuthorisedError
from infrastructure.attestation.attesting import SyntheticAttester, own_machine
from infrastructure.attestation.synthetic.platform import DIRECTORY, ROOT
from infrastructure.cli.output import GOOD, WARNING, result, say
from infrastructure.clock import Clock, SystemClock
from infrastructure.ending import Ending
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange.blocking import Client
from infrastructure.keys import wallet as wallets
from infrastructure.keys.memory import forbid_dumps
from infrastructure.keys.private_files import make_private_directory
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.node.agent import Agent
from infrastructure.node.claims import evidence_of
from infrastructure.node.enrolling import await_known, enrol, read_credential
from infrastructure.node.journal import Journal, journal_of
from infrastructure.node.proving import Speaker

MEBIBYTE = 1024 * 1024
SOFTWARE = "software"
_SLOTS = 2
"""With which a node enrols that is told no number."""


def run(
    server: str, key: Path, *, slots: int | None, credential: Path | None, memory_mib: int, pool: str,
    node_dir: Path | None, platform: str, ca: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Run a node until TERM; return the exit code: a warning where reports wait for a ledger that is away."""
    forbid_dumps()
    wallet, clock, entropy = wallets.load(key), SystemClock(), SystemEntropy()
    client = Client(server, wallet, clock, entropy, ca=ca)
    directory = node_dir or journal_of(key)
    machine = None if platform == SOFTWARE else _machine(directory, platform, wallet, clock)
    if credential is not None:
        content = read_credential(credential)
        try:
            client.get("/v1/nodes")
        except NotAuthorisedError:
            speaker, memory_bytes = Speaker(client, wallet, clock, entropy), memory_mib * MEBIBYTE
            name = enrol(
                speaker, content, slots=slots or _SLOTS, memory_bytes=memory_bytes, pool=pool, attester=machine
            )
            await_known(client)
            say(f"node {name} enrolled")
    with Journal(directory) as journal:
        agent = Agent(
            client, wallet, journal,
            clock=clock, entropy=entropy, slots=slots, tell=say, evidence=evidence_of(machine),
        )  # fmt: skip
        ending = Ending(say, WARNING, WARNING)  # what waits in the journal goes out with the next start

        def end(*_: object) -> None:
            ending.begin()
            agent.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        ended = agent.run(lambda name: say(f"node {name} takes work from {server}"))
    members = {
        "node": ended.node,
        "executed": ended.executed,
        "lost": ended.lost,
        "undelivered": ended.undelivered,
    }
    lines = [f"node {ended.node}: {ended.executed} executions run, {ended.lost} lost, {ended.undelivered} reports wait"]
    result(members, as_json=as_json, lines=lines)
    return WARNING if ended.undelivered else GOOD


def show_machine(key: Path, *, node_dir: Path | None, platform: str, as_json: bool) -> None:
    """Show what a node's credential and the ledger's operator have to name; machine and vendors are made at first."""
    wallet, clock = wallets.load(key), SystemClock()
    directory = node_dir or journal_of(key)
    members: dict[str, object] = {"node": wallet.name, "did": wallet.did(Purpose.REPORT)}
    if platform == SOFTWARE:
        members |= {"evidence_class": SOFTWARE, "platform_id": platform_id(wallet.thumbprint(Purpose.REPORT))}
    else:
        machine = _machine(directory, platform, wallet, clock)
        shown = machine.describe()
        members |= {
            "evidence_class": shown.evidence_class.value,
            "platform_id": shown.platform_id,
            "evidence_root": shown.root,
            "root_file": str(directory / DIRECTORY / ROOT),
        }
    result(members, as_json=as_json, lines=[f"{name}: {value}" for name, value in members.items()])


def _machine(directory: Path, platform: str, wallet: Wallet, clock: Clock) -> SyntheticAttester:
    make_private_directory(directory)
    return own_machine(directory, platform, wallet.name, clock.now_ms)
