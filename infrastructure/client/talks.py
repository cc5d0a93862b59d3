"""What a principal does with its log at a server: submit, govern, ask, and have everything proved. Without I/O.

Invariants:
- What is written is answered with acknowledgements that the key of the log in which it lies signed, over this very
  command at the places that the answer names; an answer without them is refused. They are the writer's proof, should
  the ledger lose it.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from domain.errors import MalformedError, RefusedError, VerificationError
from domain.statements import GOVERNANCE, SUBMISSION
from domain.transparency.tlog_proof import TlogProof
from domain.workloads.decisions import cancel_claims
from infrastructure.client.answers import Written, acknowledgement, listed, verify_acknowledged
from infrastructure.client.bundles import unpack
from infrastructure.client.cac_proofs import Source, issued
from infrastructure.client.dialogue import Dialogue, Row
from infrastructure.client.drafts import checked_draft
from infrastructure.client.known import Keys
from infrastructure.client.registrations import accepted_keys
from infrastructure.client.signing import signed_by
from infrastructure.client.submission import SubmissionFile, build_submission
from infrastructure.exchange.steps import Aside, Talk
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements import jws
from infrastructure.statements.acknowledgement import Acknowledgement
from infrastructure.tlog.verdict import Verification


class Talks(Dialogue):
    """Conversations with one log. Arguments as for `Dialogue`."""

    def why(self, name: str, *, at_ms: int | None = None) -> Talk[Row]:
        """Come to what became of a workload, execution or CAC."""
        return self.get(f"/v1/why/{quote(name, safe='')}", at=at_ms)

    def cac(self, name: str) -> Talk[Row]:
        """Come to a CAC with the document that its enclave signed, once it was held against the log.

        Raises:
            VerificationError: when it is not signed as it says, is another, or is not what the log issued.
        """
        path = f"/v1/cacs/{quote(name, safe='')}"
        found = yield from self.get(path)
        row = yield from self.own()
        keys = yield from self.told(row)
        key = bytes.fromhex(str(row["registration"]["attestation_key"]))  # as the tenant's admins accepted it
        proof = yield from issued(name, path, found, Source(self.read, self.proved, keys.origin, key))
        return {**found, "proof": {"index": proof.index, "checkpoint": proof.note.text}}

    def bundle(self, out: Path, *, keys: str | None = "all") -> Talk[Verification]:
        """Export the log to a directory that is missing or empty, and verify it.

        Args:
            out: the directory.
            keys: of which streams the keys go along: `all`, `public` or None.

        Raises:
            VerificationError: when it does not verify, or is another log's; what came of it lies in `out` then.
        """
        path = "/v1/audit/bundle" + (f"?keys={keys}" if keys else "")
        purpose = yield from self.looking()
        data = yield from self.read(path, "application/x-tar", purpose)
        verdict: Verification = yield Aside(
            lambda: unpack(data, out, origin=self.origin, log_keys=self.profile.log_keys)
        )
        return verdict

    def submit(self, content: SubmissionFile, inputs: Sequence[bytes]) -> Talk[Written]:
        """Sign a submission, seal its inputs to the tenant's release key, and hand it in."""
        tenant = yield from self.own(Purpose.SUBMISSION)
        keys = yield from self.told(tenant)
        if not keys.release_key:
            raise RefusedError("a scope runs no workloads: name a tenant")
        whom = self.whom
        made = build_submission(
            content,
            inputs,
            wallet=whom.wallet,
            workload=whom.ids.uuid(whom.clock.now_ms()),
            origin=keys.origin,
            release_key=keys.release_key,
            output_key=keys.output_key if tenant["custody"] == "tenant" else None,
            now_ms=whom.clock.now_ms(),
            entropy=whom.entropy,
        )
        sealed = [base64.b64encode(one).decode() for one in made.ciphertexts]
        body = {"submission": made.token, "inputs": sealed}
        return (yield from self.written("/v1/workloads", [made.token], body, Purpose.SUBMISSION, keys))

    def cancel(self, workload: str) -> Talk[Written]:
        """Take a waiting workload back."""
        keys = yield from self.told((yield from self.own(Purpose.SUBMISSION)))
        iss = self.whom.wallet.did(Purpose.SUBMISSION)
        content = self.payload(iss, keys.origin, cancel_claims(workload))
        (token,) = signed_by([self.whom.wallet], SUBMISSION, content)
        return (yield from self.written("/v1/cancellations", [token], {"statement": token}, Purpose.SUBMISSION, keys))

    def act(
        self, path: str, claims: Mapping[str, Any], signatories: Sequence[Wallet], *, typ: str = GOVERNANCE, **more: Any
    ) -> Talk[Written]:
        """Let wallets sign one act of governance, and hand it in.

        Args:
            path: of its route.
            claims: `act`, and those of its claims that do not follow from the ledger's state; the rest the server
                drafts, and what it drafts is held against what was meant before anybody signs.
            signatories: who signs.
            typ: the statements' type.
            more: further members of the body.
        """
        iss, aud, whole, key = yield from self.drafted(claims)
        tokens = self.signed(signatories, typ, iss=iss, aud=aud, claims=whole)
        return (yield from self.handed_in(path, tokens, {"statements": list(tokens), **more}, {aud: key}))

    def signed(
        self, wallets: Sequence[Wallet], typ: str, *, iss: str, aud: str, claims: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Let wallets sign the same words, now."""
        return signed_by(wallets, typ, self.payload(iss, aud, claims))

    def handed_in(
        self, path: str, tokens: Sequence[str], body: Mapping[str, Any], acknowledging: Mapping[str, bytes]
    ) -> Talk[Written]:
        """Hand in, as the log's admin, what was checked and signed.

        Args:
            path: of its route.
            tokens: the statements; the first of them is the command.
            body: with them.
            acknowledging: the log in which the events will lie, and the key by which it acknowledges.
        """
        keys = yield from self.told((yield from self.own(Purpose.GOVERNANCE)))
        return (yield from self.written(path, tokens, body, Purpose.GOVERNANCE, keys, elsewhere=acknowledging))

    def draft(self, claims: Mapping[str, Any]) -> Talk[Row]:
        """Come to all claims of an act that is meant. Arguments and errors as for `act`."""
        return (yield from self.drafted(claims))[2]

    def drafted(self, claims: Mapping[str, Any]) -> Talk[tuple[str, str, Row, bytes]]:
        """Come to whose act it is, for which log, its claims, and the key by which that log acknowledges."""
        keys = yield from self.told((yield from self.own(Purpose.GOVERNANCE)))
        own = yield from self.own(Purpose.GOVERNANCE)
        if accepted_keys(own, self.profile.admins) != keys:
            raise VerificationError("the server tells other keys of the log than a moment ago")
        vouched = own.get("registration") or own  # what admins accepted; of a scope there is its own word only
        drafted = yield from self.asked("POST", "/v1/drafts", {"claims": dict(claims)}, purpose=Purpose.GOVERNANCE)
        did, own_id = str(vouched.get("did")), str(vouched.get("tenant_id"))
        iss, aud, whole = checked_draft(drafted, claims, origin=keys.origin, did=did, own_id=own_id)
        if aud == keys.origin:
            return iss, aud, whole, bytes.fromhex(keys.acknowledgement_key)
        key = yield from self.acknowledges(aud, drafted.get("acknowledgement_key"))
        return iss, aud, whole, key

    def proof(self, acknowledged: Acknowledgement) -> Talk[bytes]:
        """Come to the receipt of an acknowledged event: the proof that it lies in the published log (tlog-proof).

        Raises:
            UnknownError: while its tree is not published yet.
            VerificationError: when the proof does not hold.
        """
        proof = yield from self.proved(acknowledged.event.leaf_index, acknowledged.event.leaf_hash)
        return proof.to_bytes()

    def proved(self, leaf_index: int, leaf_hash: bytes) -> Talk[TlogProof]:
        """Come to the proof that a leaf lies in the published log. Its tree contains the one that was seen before."""
        data = yield from self.read(f"/v1/audit/proofs/{leaf_index}", "text/plain")
        try:
            proof = TlogProof.parse(data)
            proof.verify(leaf_hash)
        except MalformedError as error:
            raise VerificationError(f"the server's proof is not of its form: {error}") from None
        yield from self.look(proof.note.to_bytes())
        return proof

    def written(
        self, path: str, tokens: Sequence[str], body: Mapping[str, Any], purpose: Purpose, keys: Keys, *,
        elsewhere: Mapping[str, bytes] | None = None,
    ) -> Talk[Written]:  # fmt: skip
        """Send a statement until it is answered, and verify what acknowledges it.

        Args:
            path: of the route.
            tokens: the statements.
            body: with them.
            purpose: which key asks.
            keys: of one's own log.
            elsewhere: the other log in which the events lie (a grant lies in the grantee's), and its key.
        """
        answer = yield from self.asked("POST", path, body, purpose=purpose)
        jti = jws.peek(tokens[0])[1]["jti"]
        if answer.get("jti") != jti:
            raise VerificationError("the server answered another command")
        acknowledgements = tuple(map(acknowledgement, listed(answer, "acknowledgements")))
        places = {(one.get("leaf_index"), one.get("leaf_hash")) for one in listed(answer, "places")}
        if {(one.event.leaf_index, one.event.leaf_hash.hex()) for one in acknowledgements} != places or not places:
            raise VerificationError("the server did not acknowledge every event that it says it stored")
        ((origin, key),) = (elsewhere or {keys.origin: bytes.fromhex(keys.acknowledgement_key)}).items()
        for one in acknowledgements:
            verify_acknowledged(one, key, origin, jti)
        members = {name: value for name, value in answer.items() if name != "acknowledgements"}
        return Written(members, acknowledgements)
