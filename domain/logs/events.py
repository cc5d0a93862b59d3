"""Events of a log about its own keys."""

from typing import Annotated, ClassVar

from pydantic import Field

from domain.identifiers import Digest
from domain.message import Event


class KeyRotated(Event):
    """From this entry on, checkpoints are signed by the keys of a new generation.

    It stands at leaf index `from_size`, so every tree that holds it is signed by the new keys and none before it.
    `note_digest` is H(text of `keys/<generation>.note`): the text names the keys, and their signatures may be repeated.
    """

    TOPIC: ClassVar[str] = "log.key_rotated.v1"

    generation: Annotated[int, Field(ge=1)]
    from_size: Annotated[int, Field(ge=0)]
    note_digest: Digest
