"""Who speaks with the service: one client for each wallet and log, which believes what came from elsewhere only.

What is known from elsewhere (log keys, key of acknowledgements, admins) is what the founding told, outside the service.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from domain.errors import UnknownError
from domain.transparency.tlog_policy import parse_policy
from infrastructure.audit.trust import read_trust
from infrastructure.client.profile import Profile
from infrastructure.client.remote import Remote
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.keys.wallet import Purpose, Wallet

PLATFORM: Final = "platform"
SCOPE: Final = "root"


@dataclass(frozen=True, slots=True)
class Believed:
    """What is known of a log outside the service: its id, its origin, and the policy file of its auditors."""

    log_id: str
    origin: str
    trust: Path


class People:
    """Clients, made when they are first asked for. A `with` block closes them.

    Args:
        folder: where they remember what they saw.
        believed: by log.
    """

    def __init__(self, folder: Path, believed: Mapping[str, Believed]) -> None:
        self._folder = folder
        self._believed = believed
        self._remotes: dict[tuple[str, str], Remote] = {}
        self._stack = ExitStack()
        self.url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def remote(self, log: str, wallet: Wallet, purpose: Purpose | None = Purpose.GOVERNANCE) -> Remote:
        """Return the client of a wallet that asks about a log, with a certain one of its keys, or whichever may."""
        named = (log, wallet.name)
        if named not in self._remotes:
            made = Remote(
                self._profile(log, wallet), wallet, clock=SystemClock(), entropy=SystemEntropy(), ids=SystemIds(),
                asks=purpose,
            )  # fmt: skip
            self._remotes[named] = self._stack.enter_context(made)
        return self._remotes[named]

    def _profile(self, log: str, wallet: Wallet) -> Profile:
        state = self._folder / "state" / wallet.name
        path = self._believed[log].trust
        trust = read_trust(path)
        if trust is None:
            raise UnknownError(f"{path} has no keys beside it")
        keys = parse_policy(path.read_bytes()).log_keys(trust.origin)
        return Profile(
            self.url, tenant=log, origin=trust.origin, acknowledgement_key=trust.acknowledgement_key, log_keys=keys,
            state=state, acknowledgement_keys=self._acknowledging(),
        )  # fmt: skip

    def _acknowledging(self) -> dict[str, bytes]:
        """Return by which key each log acknowledges, as is known outside the service."""
        known = [read_trust(one.trust) for one in self._believed.values()]
        return {one.origin: one.acknowledgement_key for one in known if one is not None}
