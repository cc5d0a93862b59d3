"""Events of a tenant's subscriptions to its own CACs."""

from typing import Annotated, ClassVar

from pydantic import Field

from domain.executions.events import Outcome
from domain.identifiers import Digest, ResourceClass
from domain.message import Event, Value
from domain.payloads import StoredPayload

SubscriptionId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""The jti of the statement that opened it."""
ClauseOrFamily = Annotated[
    str, Field(max_length=256, pattern=r"^[A-Za-z0-9]+(::[A-Za-z0-9]+){2}(@[0-9]+\.[0-9]+\.[0-9]+)?$")
]
"""A clause's id, or without its version all versions."""


class Wanted(Value):
    """Which results are told: those that have every member that is named here. None: any."""

    clause: ClauseOrFamily | None = None
    resource_class: ResourceClass | None = None
    outcome: Outcome | None = None

    def takes(self, clause_id: str, resource_class: str, outcome: str) -> bool:
        """Tell whether a result is one of them."""
        return (
            self.clause in {None, clause_id, clause_id.partition("@")[0]}
            and self.resource_class in {None, resource_class}
            and self.outcome in {None, outcome}
        )


class SubscriptionOpened(Event):
    """The tenant's admins want its results told to an address, from an entry of the log on. In the log's own stream.

    Attributes:
        subscription_id: the jti of `statements`.
        wanted: which results.
        after: leaf index after which it begins; -1: with the first entry.
        commitment: salted, of the address; what was signed.
        address: salt and address, sealed; it may hold a secret, so it is in no entry.
        statements: the admins'.
    """

    TOPIC: ClassVar[str] = "subscription.opened.v1"

    subscription_id: SubscriptionId
    wanted: Wanted
    after: Annotated[int, Field(ge=-1)]
    commitment: Digest
    address: StoredPayload
    statements: tuple[str, ...]


class SubscriptionEnded(Event):
    """The tenant's admins want nothing more told there. In the log's own stream."""

    TOPIC: ClassVar[str] = "subscription.ended.v1"

    subscription_id: SubscriptionId
    statements: tuple[str, ...]


class ResultDelivered(Event):
    """The address took what an entry tells of a CAC, and answered so. In the subscription's own stream.

    Attributes:
        subscription_id: which one.
        cac_id: which CAC it is about.
        leaf_index: the entry: the CAC was issued there, or overturned.
        tries: how often it was sent by then, as far as the process knew that was heard.
    """

    TOPIC: ClassVar[str] = "subscription.delivered.v1"

    subscription_id: SubscriptionId
    cac_id: str
    leaf_index: Annotated[int, Field(ge=0)]
    tries: Annotated[int, Field(ge=1)]


class SubscriptionLapsed(Event):
    """The address took nothing for so long that it is tried no more; entries from `leaf_index` on were not delivered.

    In the subscription's own stream. A new subscription goes on where this one stopped.
    """

    TOPIC: ClassVar[str] = "subscription.lapsed.v1"

    subscription_id: SubscriptionId
    leaf_index: Annotated[int, Field(ge=0)]
    tries: Annotated[int, Field(ge=1)]
