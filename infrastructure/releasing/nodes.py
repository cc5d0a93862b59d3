"""Which nodes a releaser believes: those of issuers that it knows, or, said aloud, any that the ledger offers."""

from dataclasses import dataclass

from domain.errors import VerificationError
from domain.nodes.events import NodeEnrolled
from infrastructure.credentials.refusal import CredentialRefusedError
from infrastructure.credentials.verifying import Verifying
from infrastructure.keys.did_key import did_key


@dataclass(frozen=True, slots=True)
class NodeTrust:
    """What a node must prove to a releaser.

    Attributes:
        issuers: DIDs whose node credentials count. None: any node is believed, with whatever the ledger says of it [one
            of the operator's own making included].
        credentials: verifies them, with the releaser's own DID documents and status lists.
    """

    issuers: tuple[str, ...] | None
    credentials: Verifying

    def require(self, node: NodeEnrolled, now_ms: int) -> None:
        """Refuse a node that no such issuer speaks for, or that is said to be another than its credential says.

        Raises:
            VerificationError: naming why.
        """
        if self.issuers is None:
            return
        did = did_key(bytes.fromhex(node.public_key))
        try:
            subject = self.credentials.node(node.credential, self.issuers, now_ms, node=did).subject
        except CredentialRefusedError as error:
            raise VerificationError(f"the node's credential: {error}") from None
        facts = node.facts
        told = (subject.operator, subject.country_of_operation, subject.vendor, frozenset(subject.platform_ids))
        if told != (facts.operator, facts.country, facts.vendor, frozenset(facts.platform_ids)):
            raise VerificationError("the node's facts are not those of its credential")
        if (subject.attributes, subject.admits) != (facts.attributes, facts.admits):
            raise VerificationError("the node's attributes, or whom it admits, are not those of its credential")
