"""A ledger that is asked over HTTP from an event loop, and not believed: `infrastructure.client.remote`, not blocking.

It runs the same conversations, so it verifies the same; what waits for a disk is done on another thread.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from domain.errors import NotAuthorisedError
from domain.statements import GOVERNANCE
from infrastructure.client.answers import Written
from infrastructure.client.dialogue import JSON, PATIENCE_S, Asked, Row, TokenAsked, Whom
from infrastructure.client.known import Head
from infrastructure.client.profile import Profile
from infrastructure.client.submission import SubmissionFile
from infrastructure.client.talks_disputes import DisputeTalks
from infrastructure.clock import Clock
from infrastructure.disputes.verifying import CaseVerdict
from infrastructure.entropy import Entropy
from infrastructure.exchange.asynchronous import AsyncClient
from infrastructure.exchange.steps import Aside, Pause, Talk, run_async
from infrastructure.ids import IdSource
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements.acknowledgement import Acknowledgement
from infrastructure.tlog.verdict import Verification

T = TypeVar("T")


class AsyncRemote:
    """One log at one server, asked by one wallet. An `async with` block closes its connections.

    Args:
        profile: how the server is reached, and what is known of the log.
        wallet: who asks.
        clock: tells the instants of what is signed.
        entropy: draws ids of commands, salts and ephemeral keys.
        ids: draws ids of workloads.
        patience_s: how long is asked again where there is no answer.
        asks: which of the wallet's keys reads; None: whichever is enrolled there.

    Raises:
        MalformedError: when the profile names no server that can be asked, or no tenant.
    """

    def __init__(
        self, profile: Profile, wallet: Wallet, *, clock: Clock, entropy: Entropy, ids: IdSource,
        patience_s: float = PATIENCE_S, asks: Purpose | None = None,
    ) -> None:  # fmt: skip
        self._profile = profile
        self._whom = Whom(wallet, clock, entropy, ids)
        self._talks = DisputeTalks(profile, self._whom, patience_s=patience_s, asks=asks)
        self._clients: dict[Purpose, AsyncClient] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients.values():
            await client.close()

    async def get(self, path: str, purpose: Purpose | None = None, /, **query: Any) -> Row:
        """Return what is at a path, asked with a key of the wallet; None: whichever is enrolled.

        Raises:
            LedgerError: of the kind that fits what the server answered.
            VerificationError: when the log is not what it was before.
        """
        return await self._run(self._talks.get(path, purpose, **query))

    async def pages(self, path: str, member: str, **query: Any) -> list[Row]:
        """Return all items of a collection."""
        return await self._run(self._talks.pages(path, member, **query))

    async def read(self, path: str, accept: str = "*/*") -> bytes:
        """Return the bytes at a path. Errors as for `get`."""
        return await self._run(self._talks.read(path, accept))

    async def own_origin(self) -> str:
        """Return the origin of the log, as the server tells it and as it is known here. Errors as for `act`."""
        return await self._run(self._talks.own_origin())

    async def why(self, name: str, *, at_ms: int | None = None) -> Row:
        """Return what became of a workload, execution or CAC."""
        return await self._run(self._talks.why(name, at_ms=at_ms))

    async def cac(self, name: str) -> Row:
        """Return a CAC with the document that its enclave signed. Errors as for `Talks.cac`."""
        return await self._run(self._talks.cac(name))

    async def bundle(self, out: Path, *, keys: str | None = "all") -> Verification:
        """Export the log to a directory, verified. Arguments and errors as for `Talks.bundle`."""
        return await self._run(self._talks.bundle(out, keys=keys))

    async def submit(self, content: SubmissionFile, inputs: Sequence[bytes]) -> Written:
        """Sign a submission, seal its inputs to the tenant's release key, and hand it in."""
        return await self._run(self._talks.submit(content, inputs))

    async def cancel(self, workload: str) -> Written:
        """Take a waiting workload back."""
        return await self._run(self._talks.cancel(workload))

    async def act(
        self, path: str, claims: Mapping[str, Any], signatories: Sequence[Wallet], *, typ: str = GOVERNANCE, **more: Any
    ) -> Written:
        """Let wallets sign one act of governance, and hand it in. Arguments and errors as for `Talks.act`."""
        return await self._run(self._talks.act(path, claims, signatories, typ=typ, **more))

    async def draft(self, claims: Mapping[str, Any]) -> Row:
        """Return all claims of an act that is meant. Arguments and errors as for `Talks.act`."""
        return await self._run(self._talks.draft(claims))

    async def own(self, purpose: Purpose | None = None) -> Row:
        """Return the tenant or scope as the server tells of it. Arguments and errors as for `Dialogue.own`."""
        return await self._run(self._talks.own(purpose))

    async def look(self) -> Head | None:
        """Hold the log's newest tree against the one that was seen before. Errors as for `Dialogue.look`."""
        return await self._run(self._talks.look())

    async def proof(self, acknowledged: Acknowledgement) -> bytes:
        """Return the receipt of an acknowledged event (tlog-proof), verified. Errors as for `Talks.proof`."""
        return await self._run(self._talks.proof(acknowledged))

    async def dispute(self, dispute: str) -> Row:
        """Return a dispute, as far as it concerns who asks."""
        return await self._run(self._talks.dispute(dispute))

    async def case(self, dispute: str, out: Path) -> CaseVerdict:
        """Export what a dispute is about, verified. Arguments and errors as for `DisputeTalks.case`."""
        return await self._run(self._talks.case(dispute, out))

    async def act_in_dispute(
        self,
        path: str,
        claims: Mapping[str, Any],
        signatories: Sequence[Wallet],
        *,
        operator: bool = False,
        **more: Any,
    ) -> tuple[Written, Row]:  # fmt: skip
        """Let wallets sign one act about a dispute, and hand it in. Arguments as for `DisputeTalks.act_in_dispute`."""
        return await self._run(self._talks.act_in_dispute(path, claims, signatories, operator=operator, **more))

    async def _run(self, talk: Talk[T]) -> T:
        return await run_async(talk, self._do)

    async def _do(self, step: Any) -> Any:
        match step:
            case Asked():
                return await self._ask(step)
            case TokenAsked(purpose):
                try:
                    await self._speaking(purpose).ask_token()
                except NotAuthorisedError:
                    await self._clients.pop(purpose).close()
                    raise
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Aside(work):
                return await asyncio.to_thread(work)
        return None

    async def _ask(self, step: Asked) -> Any:
        client = self._speaking(step.purpose)
        if step.accept != JSON:
            return await client.get_bytes(step.path, accept=step.accept)
        if step.method == "GET":
            return await client.get(step.path)
        return await client.post(step.path, step.members or {})

    def _speaking(self, purpose: Purpose) -> AsyncClient:
        if purpose not in self._clients:
            profile, whom = self._profile, self._whom
            self._clients[purpose] = AsyncClient(
                profile.server, whom.wallet, whom.clock, whom.entropy, ca=profile.ca, purpose=purpose,
                tenant=profile.tenant,
            )  # fmt: skip
        return self._clients[purpose]
