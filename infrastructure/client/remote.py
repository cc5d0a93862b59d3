"""A ledger that is asked over HTTP, and not believed: what it answers is verified before anybody is told.

`Remote` blocks, `infrastructure.client.async_remote.AsyncRemote` does not; both run the conversations of
`infrastructure.client.talks`, where all is verified, and do nothing else. Beyond loopback they speak TLS only, and each
request is bound to the wallet's key (infrastructure.exchange).
"""

import time
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
from infrastructure.exchange.blocking import Client
from infrastructure.exchange.steps import Aside, Pause, Talk, run
from infrastructure.ids import IdSource
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements.acknowledgement import Acknowledgement
from infrastructure.tlog.verdict import Verification

T = TypeVar("T")


class Remote:
    """One log at one server, asked by one wallet. A `with` block closes its connections.

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
        self._clients: dict[Purpose, Client] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()

    def get(self, path: str, purpose: Purpose | None = None, /, **query: Any) -> Row:
        """Return what is at a path, asked with a key of the wallet; None: whichever is enrolled.

        Raises: VerificationError, when the log is not what it was before; else what fits the server's answer.
        """
        return self._run(self._talks.get(path, purpose, **query))

    def pages(self, path: str, member: str, **query: Any) -> list[Row]:
        """Return all items of a collection."""
        return self._run(self._talks.pages(path, member, **query))

    def read(self, path: str, accept: str = "*/*") -> bytes:
        """Return the bytes at a path. Errors as for `get`."""
        return self._run(self._talks.read(path, accept))

    def own_origin(self) -> str:
        """Return the origin of the log, as the server tells it and as it is known here. Errors as for `act`."""
        return self._run(self._talks.own_origin())

    def why(self, name: str, *, at_ms: int | None = None) -> Row:
        """Return what became of a workload, execution or CAC."""
        return self._run(self._talks.why(name, at_ms=at_ms))

    def cac(self, name: str) -> Row:
        """Return a CAC with the document that its enclave signed. Errors as for `Talks.cac`."""
        return self._run(self._talks.cac(name))

    def bundle(self, out: Path, *, keys: str | None = "all") -> Verification:
        """Export the log to a directory, verified. Arguments and errors as for `Talks.bundle`."""
        return self._run(self._talks.bundle(out, keys=keys))

    def submit(self, content: SubmissionFile, inputs: Sequence[bytes]) -> Written:
        """Sign a submission, seal its inputs to the tenant's release key, and hand it in."""
        return self._run(self._talks.submit(content, inputs))

    def cancel(self, workload: str) -> Written:
        """Take a waiting workload back."""
        return self._run(self._talks.cancel(workload))

    def act(
        self, path: str, claims: Mapping[str, Any], signatories: Sequence[Wallet], *, typ: str = GOVERNANCE, **more: Any
    ) -> Written:
        """Let wallets sign one act of governance, and hand it in. Arguments and errors as for `Talks.act`."""
        return self._run(self._talks.act(path, claims, signatories, typ=typ, **more))

    def draft(self, claims: Mapping[str, Any]) -> Row:
        """Return all claims of an act that is meant. Arguments and errors as for `Talks.act`."""
        return self._run(self._talks.draft(claims))

    def drafted(self, claims: Mapping[str, Any]) -> tuple[str, str, Row, bytes]:
        """Return whose act it is, for which log, its claims, and that log's key. Errors as for `Talks.act`."""
        return self._run(self._talks.drafted(claims))

    def asked(self, path: str, body: Mapping[str, Any]) -> Row:
        """Return what the log's admin is answered who asks for a draft, as the server says it."""
        return self._run(self._talks.asked("POST", path, body, purpose=Purpose.GOVERNANCE))

    def acknowledges(self, origin: str, told: object) -> bytes:
        """Return the key by which another log acknowledges. Arguments and errors as for `Dialogue.acknowledges`."""
        return self._run(self._talks.acknowledges(origin, told))

    def signed(
        self, wallets: Sequence[Wallet], typ: str, *, iss: str, aud: str, claims: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Let wallets sign the same words, now."""
        return self._talks.signed(wallets, typ, iss=iss, aud=aud, claims=claims)

    def handed_in(
        self, path: str, tokens: Sequence[str], body: Mapping[str, Any], acknowledging: Mapping[str, bytes]
    ) -> Written:
        """Hand in what was checked and signed. Arguments and errors as for `Talks.handed_in`."""
        return self._run(self._talks.handed_in(path, tokens, body, acknowledging))

    def own(self, purpose: Purpose | None = None) -> Row:
        """Return the tenant or scope as the server tells of it. Arguments and errors as for `Dialogue.own`."""
        return self._run(self._talks.own(purpose))

    def look(self) -> Head | None:
        """Hold the log's newest tree against the one that was seen before. Errors as for `Dialogue.look`."""
        return self._run(self._talks.look())

    def proof(self, acknowledged: Acknowledgement) -> bytes:
        """Return the receipt of an acknowledged event (tlog-proof), verified. Errors as for `Talks.proof`."""
        return self._run(self._talks.proof(acknowledged))

    def dispute(self, dispute: str) -> Row:
        """Return a dispute, as far as it concerns who asks."""
        return self._run(self._talks.dispute(dispute))

    def case(self, dispute: str, out: Path) -> CaseVerdict:
        """Export what a dispute is about, verified. Arguments and errors as for `DisputeTalks.case`."""
        return self._run(self._talks.case(dispute, out))

    def act_in_dispute(
        self,
        path: str,
        claims: Mapping[str, Any],
        signatories: Sequence[Wallet],
        *,
        operator: bool = False,
        **more: Any,
    ) -> tuple[Written, Row]:  # fmt: skip
        """Let wallets sign one act about a dispute, and hand it in. Arguments as for `DisputeTalks.act_in_dispute`."""
        return self._run(self._talks.act_in_dispute(path, claims, signatories, operator=operator, **more))

    def _run(self, talk: Talk[T]) -> T:
        return run(talk, self._do)

    def _do(self, step: Any) -> Any:
        match step:
            case Asked():
                return self._ask(step)
            case TokenAsked(purpose):
                try:
                    self._speaking(purpose).ask_token()
                except NotAuthorisedError:
                    self._clients.pop(purpose).close()
                    raise
            case Pause(seconds):
                time.sleep(seconds)
            case Aside(work):
                return work()
        return None

    def _ask(self, step: Asked) -> Any:
        client = self._speaking(step.purpose)
        if step.accept != JSON:
            return client.get_bytes(step.path, accept=step.accept)
        return client.get(step.path) if step.method == "GET" else client.post(step.path, step.members or {})

    def _speaking(self, purpose: Purpose) -> Client:
        if purpose not in self._clients:
            profile, whom = self._profile, self._whom
            self._clients[purpose] = Client(
                profile.server, whom.wallet, whom.clock, whom.entropy, ca=profile.ca, purpose=purpose,
                tenant=profile.tenant,
            )  # fmt: skip
        return self._clients[purpose]
