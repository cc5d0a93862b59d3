"""HTTP message signatures (RFC 9421) with Ed25519 over a POST, and the digest of its content (RFC 9530).

Covered are the method, the target URI, content type, content digest, and the message's id; `created` and `expires` say
when it was sent. So a receiver knows that the bytes are the ledger's, for its own address, and how old they are.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infrastructure.keys import ed25519
from infrastructure.keys.thumbprint import thumbprint

LABEL: Final = "ledger"
TAG: Final = "ledger-result"
MESSAGE_ID: Final = "Message-Id"
LIFETIME_S: Final = 300
_COVERED: Final = ("@method", "@target-uri", "content-type", "content-digest", "message-id")


def content_digest(body: bytes) -> str:
    """Return the value of Content-Digest (RFC 9530 2): sha-256, as a byte sequence of structured fields."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def signature_base(components: Sequence[tuple[str, str]], parameters: str) -> bytes:
    """Return the signature base (RFC 9421 2.5).

    Args:
        components: names and values of what is covered, in order.
        parameters: of the signature, as they stand behind the list of names in Signature-Input.
    """
    lines = [f'"{name}": {value}' for name, value in components]
    return "\n".join([*lines, f'"@signature-params": {_names(name for name, _ in components)}{parameters}']).encode()


def signed_headers(
    url: str, body: bytes, key: Ed25519PrivateKey, *, message_id: str, content_type: str, now_s: int
) -> Mapping[str, str]:
    """Return the headers of a signed POST.

    Args:
        url: the target URI, as it is sent.
        body: the content.
        key: signs; its id is the RFC 7638 thumbprint of its JWK.
        message_id: the same at every try.
        content_type: of the body.
        now_s: the instant, in seconds since 1970.
    """
    digest = content_digest(body)
    kid = thumbprint(ed25519.public_bytes(key))
    parameters = f';created={now_s};expires={now_s + LIFETIME_S};keyid="{kid}";alg="ed25519";tag="{TAG}"'
    values = ("POST", url, content_type, digest, message_id)
    components = list(zip(_COVERED, values, strict=True))
    signature = base64.b64encode(key.sign(signature_base(components, parameters))).decode()
    return {
        "Content-Type": content_type,
        "Content-Digest": digest,
        MESSAGE_ID: message_id,
        "Signature-Input": f"{LABEL}={_names(_COVERED)}{parameters}",
        "Signature": f"{LABEL}=:{signature}:",
    }


def _names(names: Iterable[str]) -> str:
    return "(" + " ".join(f'"{name}"' for name in names) + ")"
