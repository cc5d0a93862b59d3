"""Commands that keep an issuer's status register: publish, revoke, suspend, reinstate."""

from pathlib import Path
from typing import Literal

from domain.errors import MalformedError
from domain.time import DAY_MS
from infrastructure.cli.output import result
from infrastructure.client.files import read_bounded
from infrastructure.clock import SystemClock
from infrastructure.credentials import status_register
from infrastructure.credentials.data_integrity import MAX_DOCUMENT_BYTES, parse_document
from infrastructure.credentials.status_entry import REVOCATION, SUSPENSION
from infrastructure.keys import did_key
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose

Act = Literal["revoke", "suspend", "reinstate"]


def publish(directory: Path, key: Path, url: str | None, method: str | None, list_days: int, *, as_json: bool) -> None:
    """Sign the lists of a register anew; make the register at first."""
    wallet = wallets.load(key)
    if not (directory / status_register.REGISTER).is_file():
        if url is None:
            raise MalformedError("a new register needs the URL that its lists' URLs begin with: --url")
        own = did_key.verification_method(wallet.public(Purpose.CREDENTIAL))
        status_register.create(directory, url, method or own)
    with status_register.opened(directory) as register:
        if url not in {None, register.url} or method not in {None, register.method}:
            raise MalformedError("the register has another URL or verification method; begin another one")
        now_ms = SystemClock().now_ms()
        signer = wallet.key(Purpose.CREDENTIAL)
        status_register.publish(directory, register, signer, now_ms=now_ms, valid_ms=list_days * DAY_MS)
        lists = {purpose: register.list_url(purpose) for purpose in status_register.PURPOSES}
        members = {"issuer": register.issuer, "lists": lists, "issued": len(register.issued)}
    lines = [f"{purpose}.json  serve it at {where}" for purpose, where in lists.items()]
    result(members, as_json=as_json, lines=[*lines, f"signed by {members['issuer']}, for {list_days} days"])


def change(
    act: Act, credential: str, directory: Path, key: Path, reason: str, list_days: int, *, as_json: bool
) -> None:
    """Revoke, suspend or reinstate, and sign the lists anew."""
    wallet, now_ms = wallets.load(key), SystemClock().now_ms()
    named = Path(credential)
    target = parse_document(read_bounded(named, MAX_DOCUMENT_BYTES)) if named.is_file() else credential
    with status_register.opened(directory) as register:
        index = register.index_of(target)
        if act == "reinstate":
            register.reinstate(index)
        else:
            purpose = REVOCATION if act == "revoke" else SUSPENSION
            register.mark(index, purpose, at_ms=now_ms, reason=reason)
        signer = wallet.key(Purpose.CREDENTIAL)
        status_register.publish(directory, register, signer, now_ms=now_ms, valid_ms=list_days * DAY_MS)
        members = {"act": act, "index": index, "issuer": register.issuer, "lists": str(directory)}
    done = {"revoke": "revoked", "suspend": "suspended", "reinstate": "reinstated"}[act]
    result(members, as_json=as_json, lines=[f"{done}: entry {index}; the lists in {directory} say so from now on"])
