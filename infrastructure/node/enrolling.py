"""A node makes itself known: by the credential that the root's issuer gave it and its own key's acceptance."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from domain.errors import MalformedError, NotAuthorisedError, UnknownError
from domain.policies.facts import NodeFacts
from domain.policies.kinds import PRIMARY
from infrastructure.attestation.attesting import Attester
from infrastructure.credentials.node import NodeSubject
from infrastructure.exchange.blocking import Client
from infrastructure.node.proving import Speaker, prove_machine

_MAX_CREDENTIAL_BYTES: Final = 65_536
_LOOK_S: Final = 0.2


def await_known(client: Client, within_s: float = 30.0) -> None:
    """Wait until the ledger gives a node that has just enrolled a token: its followers may be a moment behind.

    Raises:
        NotAuthorisedError: when it gives none in time.
        UnavailableError: when the ledger is away.
    """
    until_s = time.monotonic() + within_s
    while True:
        try:
            client.ask_token()
        except NotAuthorisedError:
            if time.monotonic() > until_s:
                raise
            time.sleep(_LOOK_S)
        else:
            return


def read_credential(path: Path) -> dict[str, Any]:
    """Read a credential's file.

    Raises:
        UnknownError: when it can't be read.
        MalformedError: when it is none.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_CREDENTIAL_BYTES + 1)
    except OSError as error:
        raise UnknownError(f"cannot read the credential {path}: {error.strerror}") from None
    try:
        credential = json.loads(data) if len(data) <= _MAX_CREDENTIAL_BYTES else None
    except (ValueError, RecursionError):
        credential = None
    if not isinstance(credential, dict) or "credentialSubject" not in credential:
        raise MalformedError(f"{path} is no credential")
    return credential


def enrol(
    speaker: Speaker, credential: Mapping[str, Any], *, slots: int, memory_bytes: int, pool: str = PRIMARY,
    attester: Attester | None = None,
) -> str:  # fmt: skip
    """Enrol under the wallet's name, with a machine that proves itself or by the key's word; return the name.

    Args:
        speaker: the node.
        credential: what says who operates it, where, and whose hardware it is.
        slots: executions at the same time.
        memory_bytes: memory for enclaves.
        pool: in which it stands.
        attester: makes its machine's evidence; None: class software.

    Raises:
        MalformedError: when the credential or the wallet's name can't stand for a node.
        NotAuthorisedError: when the ledger does not take it, or the credential is of another machine.
        RefusedError: when the machine did not prove itself.
        UnavailableError: when the ledger is away.
    """
    subject, wallet = NodeSubject.read(credential["credentialSubject"]), speaker.wallet
    try:
        facts = NodeFacts(
            node=wallet.name,
            operator=subject.operator,
            country=subject.country_of_operation,
            vendor=subject.vendor,
            memory_bytes=memory_bytes,
            slots=slots,
            pool=pool,
            attributes=subject.attributes,
            platform_ids=subject.platform_ids,
            admits=subject.admits,
        )
    except ValidationError:
        raise MalformedError(f"the wallet's name {wallet.name[:64]!a} is no name of a node") from None
    if attester is not None:
        proved = prove_machine(speaker, attester, credential)
        if proved.platform_id not in {*subject.platform_ids, None}:
            raise NotAuthorisedError(f"the credential names other machines than this one: {proved.platform_id}")
        told = {"evidence_class": proved.evidence_class, "evidence_root": proved.evidence_root}
        facts = facts.model_copy(update=told)
    shown = facts.model_dump(mode="json")
    brought = {
        "facts": shown,
        "public_key": speaker.public.hex(),
        "credential": dict(credential),
        "acceptance": speaker.signed({"act": "enrol_node", "facts": shown}),
    }
    speaker.client.post_signed("/v1/nodes", brought)
    return facts.node
