"""What an event says of bytes that are too large for an entry (wire formats 1)."""

from typing import Annotated

from pydantic import Field

from domain.identifiers import Digest
from domain.message import Value


class StoredPayload(Value):
    """Sealed bytes under H(sealed bytes): that digest, their size, and H of what was sealed."""

    digest: Digest
    size_bytes: Annotated[int, Field(ge=0)]
    plaintext_digest: Digest
