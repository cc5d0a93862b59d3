"""What writes and the work of nodes answer, as the OpenAPI document says it. There may be more members than these."""

from typing import Any, Literal

from pydantic import Field

from infrastructure.api.reads.shapes import Shape


class Acknowledgement(Shape):
    """An acknowledgement as its file holds it (wire formats 4): token, the event's object, its place and path."""

    ack: str
    index: int
    object: dict[str, Any]
    path: list[str]


class Acknowledged(Shape):
    """What was stored for a statement, acknowledged."""

    acknowledgements: list[Acknowledgement]


class Place(Shape):
    """Where an event lies in the log."""

    leaf_index: int
    leaf_hash: str
    topic: str


class Stored(Acknowledged):
    """What became of a statement: the command's answer, and where its events lie."""

    jti: str
    places: list[Place]


class Draft(Shape):
    """What is to be signed for an act."""

    iss: str
    aud: str
    claims: dict[str, Any]
    acknowledgement_key: str


class RegistrationDraft(Shape):
    """A new log's registration, to be accepted and endorsed, and the key that acknowledges in it."""

    registration: dict[str, Any]
    acknowledgement_key: str


class Token(Shape):
    """A token (RFC 6749 5.1)."""

    access_token: str
    token_type: Literal["Bearer", "DPoP"]
    expires_in: int


class Exchanged(Token):
    """A token that was given for another one (RFC 8693 2.2.1)."""

    issued_token_type: str
    scope: str


class Enrolled(Acknowledged):
    """A node that was enrolled."""

    node: str


class Assignment(Shape):
    """An execution that is reserved for the node, with the nonce that was issued for it."""

    execution: str
    host: str
    origin: str
    node: str
    nonce: str
    module_digest: str
    limits: dict[str, Any]
    policy_digest: str
    submission: str
    until_ms: int


class Assignments(Shape):
    """What a node is to run."""

    assignments: list[Assignment]


class Standing(Shape):
    """How an execution stands; with `release`, where inputs were released to its enclave."""

    execution: str
    origin: str
    status: str
    over: bool
    reports: int
    last_report: str
    until_ms: int


class Standings(Shape):
    """The executions of a node that are not over."""

    executions: list[Standing]


class Taken(Acknowledged):
    """What became of a report: whether it counts."""

    jti: str
    accepted: bool


class AnswerOfOne(Shape):
    """What became of one report of several: as `Taken` where its status is 200, else a problem's members."""

    status: int


class Answers(Shape):
    """What became of each report, in their order."""

    answers: list[AnswerOfOne] = Field(min_length=1)


class Waiting(Shape):
    """The executions that wait for a releaser."""

    executions: list[str]


class Offer(Shape):
    """What a releaser judges."""

    execution: str
    origin: str
    entries: list[dict[str, Any]]
    node: dict[str, Any]
    evidence: list[str]
    inputs: list[str]


class Released(Acknowledged):
    """What became of a releaser's word."""

    jti: str
