"""What tenants, operators and resolvers sign about disputes at a server. Without I/O, as infrastructure.client.talks.

Invariants:
- What is signed is drafted by the server, and held against what was meant (infrastructure.client.dispute_drafts).
- The log in which an act lies acknowledges, by the key that the draft tells of it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from domain.errors import VerificationError
from domain.statements import GOVERNANCE
from infrastructure.client.answers import Written
from infrastructure.client.bundles import extract
from infrastructure.client.dialogue import Row
from infrastructure.client.dispute_drafts import checked_dispute_draft
from infrastructure.client.signing import person, signed_by
from infrastructure.client.talks import Talks
from infrastructure.disputes.verifying import CaseVerdict, verify_case
from infrastructure.exchange.steps import Aside, Talk
from infrastructure.keys.wallet import Purpose, Wallet


class DisputeTalks(Talks):
    """Conversations about disputes. Arguments as for `Dialogue`."""

    def dispute(self, dispute: str) -> Talk[Row]:
        """Come to a dispute, as far as it concerns who asks."""
        purpose = yield from self.looking()
        row = yield from self.get(f"/v1/disputes/{quote(dispute, safe='')}", purpose)
        if row.get("dispute") != dispute:
            raise VerificationError("the server gave another dispute than was asked for")
        return row

    def case(self, dispute: str, out: Path) -> Talk[CaseVerdict]:
        """Export what a dispute is about, as its scope's resolver, to a directory that is missing or empty; verify it.

        Raises:
            VerificationError: when it does not verify, or is another dispute's; what came of it lies in `out` then.
        """
        purpose = yield from self.looking()
        data = yield from self.read(f"/v1/disputes/{quote(dispute, safe='')}/bundle", "application/x-tar", purpose)
        verdict: CaseVerdict = yield Aside(lambda: _case(data, out))
        if not verdict.ok or verdict.dispute != dispute:
            why = verdict.first_error or "another one"
            raise VerificationError(f"the case that the server gave does not verify: {why}")
        return verdict

    def act_in_dispute(
        self,
        path: str,
        claims: Mapping[str, Any],
        signatories: Sequence[Wallet],
        *,
        operator: bool = False,
        **more: Any,
    ) -> Talk[tuple[Written, Row]]:
        """Let wallets sign one act about a dispute, and hand it in.

        Args:
            path: of the act's route.
            claims: `act`, and what is meant; the rest the server drafts, and it is held against that.
            signatories: who signs.
            operator: whether the first one speaks as an operator, by its name.
            more: further members of the body.

        Returns:
            what became of it, and what the server showed of what was signed by digest (`affected`, `cacs`, `standing`).
        """
        row = yield from self.own(Purpose.GOVERNANCE)
        keys = yield from self.told(row)
        if operator:
            iss, voice = signatories[0].did(Purpose.GOVERNANCE), ("operator", person(signatories[0]))
        else:
            vouched = row.get("registration") or row  # what admins accepted; of a scope there is its own word only
            iss, voice = str(vouched.get("did")), ("tenant" if keys.release_key else "resolver", keys.origin)
        drafted = yield from self.asked("POST", "/v1/drafts", {"claims": dict(claims)}, purpose=Purpose.GOVERNANCE)
        aud, whole, shown = checked_dispute_draft(drafted, claims, iss=iss, voice=voice, origin=keys.origin)
        if whole.get("cacs_digest") is not None:
            more["cacs"] = shown["cacs"]
        key = bytes.fromhex(keys.acknowledgement_key)
        if aud != keys.origin:
            key = yield from self.acknowledges(aud, drafted.get("acknowledgement_key"))
        tokens = signed_by(signatories, GOVERNANCE, self.payload(iss, aud, whole))
        body = {"statements": list(tokens), **more}
        written = yield from self.written(path, tokens, body, Purpose.GOVERNANCE, keys, elsewhere={aud: key})
        return written, shown


def _case(data: bytes, out: Path) -> CaseVerdict:
    extract(data, out)
    return verify_case(out)
