"""Whom another's token speaks of, as the ledger names it: a pseudonym of issuer and subject."""

import base64
from hashlib import sha256

_NAME = b"ledger federated principal v1\0"


def federated_kid(issuer: str, subject: str) -> str:
    """Return what stands for a key's thumbprint where there is no key: 43 characters, the same at any time.

    It names a person in counts of accesses; who that is, says `access.recognised.v1` in the same stream.
    """
    digest = sha256(_NAME + issuer.encode() + b"\0" + subject.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")
