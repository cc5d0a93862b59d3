"""Which processes the demo runs: the service with all its roles, nodes, releasers."""

from pathlib import Path
from typing import Any, Final

from domain.bounds import MEBIBYTE
from domain.policies.facts import NodeFacts
from infrastructure.attestation.synthetic.platform import DIRECTORY, ROOT
from infrastructure.demo.cast import MACHINES
from infrastructure.demo.served.children import Child, Children

READY_S: Final = 60.0


class Processes:
    """Starts them for one data directory.

    Args:
        folder: the data directory.
        children: starts and ends them.
    """

    def __init__(self, folder: Path, children: Children) -> None:
        self._folder = folder
        self._children = children
        self.url = ""

    @property
    def running(self) -> tuple[Child, ...]:
        """What runs."""
        return tuple(self._children.running)

    @property
    def logs(self) -> Path:
        """Where they say what they have to say."""
        return self._folder / "logs"

    def serve(self, port: int) -> dict[str, Any]:
        """Start the service; return what it says when it is ready."""
        child = self._children.start("serve", "serve", "--data-dir", self._folder, "--port", str(port), "--json")
        said = self._children.ready(child, READY_S)
        self.url = said["url"]
        return said

    def node(self, facts: NodeFacts, wallet: Path, credential: Path, folder: Path) -> None:
        """Start a node, which enrols by itself."""
        self._children.start(
            f"node-{facts.node}", "node", "run", "--server", self.url, "--key", wallet, "--credential", credential,
            "--slots", str(facts.slots), "--memory-mib", str(facts.memory_bytes // MEBIBYTE), "--pool", facts.pool,
            "--platform", MACHINES[facts.vendor], "--data-dir", folder, "--json",
        )  # fmt: skip

    def releaser(self, tenant: str, wallet: Path, issuer: str) -> None:
        """Start a tenant's releaser."""
        roots = self._folder / DIRECTORY / ROOT
        self._children.start(
            f"releaser-{tenant.replace('/', '-')}", "release", "run", "--tenant", tenant, "--key", wallet, "--server",
            self.url, "--node-issuer", issuer, "--trust-root", roots, "--json",
        )  # fmt: skip

    def require_running(self) -> None:
        """Require that none has ended by itself. Raises as `Children.require_running` does."""
        self._children.require_running()
