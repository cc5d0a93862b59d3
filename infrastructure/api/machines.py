"""/v1/nodes/challenges and /v1/nodes/evidence: a machine proves itself before its node enrols.

Neither takes a token: who asks is not enrolled yet. Each is authenticated by what the node's key signed in it, a
challenge by the node's credential besides.
"""

from collections.abc import Callable
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import ConflictError, RefusedError
from domain.executions.reports import MAX_ENDORSEMENTS
from domain.policies.kinds import Word
from infrastructure.api.bodies import Body, Statement, answered, parse_body
from infrastructure.api.problems import unauthorised
from infrastructure.api.receipts import acknowledged
from infrastructure.api.state import Parts, serving
from infrastructure.attestation.recognise import MAX_TEXT_BYTES
from infrastructure.commands.evidence import GivenEvidence
from infrastructure.commands.proving import request_challenge, take_proof
from infrastructure.ledger import Answer

router = APIRouter()


class ChallengeRequest(Body):
    """Who asks for a nonce: name and key to enrol with, its credential, its key's statement that it asks."""

    node: Word
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    credential: dict[str, Any]
    request: Statement


class MachineProof(Body):
    """A machine's evidence: the node's signed word over it, evidence and endorsements as base64."""

    proof: Statement
    evidence: Annotated[bytes, Field(max_length=MAX_TEXT_BYTES)]
    endorsements: Annotated[tuple[bytes, ...], Field(max_length=MAX_ENDORSEMENTS)] = ()


@router.post("/v1/nodes/challenges")
async def challenge(request: Request) -> Response:
    """Give a nonce to whoever shows a credential in force, once for each statement."""
    return await _by_statement(request, _challenged)


@router.post("/v1/nodes/evidence")
async def evidence(request: Request) -> Response:
    """Take a machine's evidence: the answer says whether it proved itself, and what was proved."""
    return await _by_statement(request, _proved)


async def _by_statement(request: Request, take: Callable[[Parts, bytes], Answer]) -> Response:
    parts, body = serving(request).need(), await request.body()
    try:
        answer = await to_thread.run_sync(take, parts, body)
    except ConflictError:
        raise
    except RefusedError as error:  # who shows nothing good is a stranger, whatever was wrong
        raise unauthorised(parts.access.issuer, str(error)) from None
    return answered({**answer.answer, "acknowledgements": acknowledged(answer)}, 201)


def _challenged(parts: Parts, body: bytes) -> Answer:
    given = parse_body(body, ChallengeRequest)
    return request_challenge(
        parts.ledger, given.node, public_key=bytes.fromhex(given.public_key), credential=given.credential,
        request=given.request,
    )  # fmt: skip


def _proved(parts: Parts, body: bytes) -> Answer:
    given = parse_body(body, MachineProof)
    return take_proof(parts.ledger, given.proof, GivenEvidence(given.evidence, given.endorsements))
