"""Events of access: who asked for what, summarised, in the log that was read; and who a pseudonym is."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from domain.access.token_issuers import IssuerUrl, Subject
from domain.identifiers import Digest
from domain.message import Event
from domain.policies.kinds import Word
from domain.time import MAX_INSTANT_MS, MINUTE_MS

RouteClass = Literal[
    "workloads", "cacs", "directory", "usage", "notices", "audit", "bundle", "feed", "releases", "disputes"
]
"""What is asked for, by kind. `bundle` and `disputes` are recorded singly, before the answer."""


class AccessSummarised(Event):
    """A principal asked so often for one kind of thing within one minute; `refused` of these requests were refused.

    Several may tell of one minute: those of several processes, or of what was recorded singly.
    """

    TOPIC: ClassVar[str] = "access.summarised.v1"

    kid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    role: Word
    route_class: RouteClass
    minute_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS, multiple_of=MINUTE_MS)]
    requests: Annotated[int, Field(ge=1, le=1_000_000_000)]
    refused: Annotated[int, Field(ge=0, le=1_000_000_000)]


class PrincipalRecognised(Event):
    """A token of an admitted issuer showed who somebody is, who from here on reads under a pseudonym.

    `kid` is the pseudonym (domain.access.recognising); `admission` the digest of what was admitted of the issuer.
    """

    TOPIC: ClassVar[str] = "access.recognised.v1"

    kid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    issuer: IssuerUrl
    subject: Subject
    role: Word
    admission: Digest
