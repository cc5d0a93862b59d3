"""Commands that issue and verify credentials."""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from domain.errors import MalformedError, NotAuthorisedError
from domain.identifiers import uuid7
from domain.time import DAY_MS
from infrastructure.cli.output import GOOD, WARNING, WRONG, result
from infrastructure.client.files import read_bounded, write_new
from infrastructure.clock import SystemClock
from infrastructure.credentials import examining, status_register
from infrastructure.credentials.data_integrity import MAX_DOCUMENT_BYTES, Document, canonical_bytes, parse_document
from infrastructure.credentials.delegation import lineage
from infrastructure.credentials.did_document import multikey_document
from infrastructure.credentials.did_web import parse_did_web
from infrastructure.credentials.examining import Examiner, Verdict
from infrastructure.credentials.executor import ExecutorSubject, issue_executor, verify_executor
from infrastructure.credentials.node import NodeSubject, issue_node
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.resolving import DirectoryFetcher, Resolver
from infrastructure.credentials.role import RoleSubject, issue_role
from infrastructure.credentials.status_checking import StatusLists
from infrastructure.credentials.status_entry import StatusEntry
from infrastructure.credentials.status_list import MAX_LIST_BYTES
from infrastructure.credentials.status_source import StatusFiles
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet

_CODES: Final = {examining.VALID: GOOD, examining.WARNING: WARNING, examining.REFUSED: WRONG}
_KINDS: Final = ("executor", "node", "role")


def issue(
    kind: str,
    subject: Path,
    key: Path,
    *,
    out: Path | None,
    valid_from_ms: int | None,
    days: int,
    credential_id: str | None,
    status: Path | None,
    parent: Path | None,
    method: str | None,
    as_json: bool,
) -> None:
    """Issue a credential."""
    if kind not in _KINDS:
        raise MalformedError(f"KIND is one of {', '.join(_KINDS)}, not {kind[:32]!a}")
    if parent is not None and kind != "executor":
        raise MalformedError("only a credential of the kind executor is issued under a parent's")
    members = parse_document(read_bounded(subject, MAX_DOCUMENT_BYTES))
    wallet, entropy, now_ms = wallets.load(key), SystemEntropy(), SystemClock().now_ms()
    if out is not None and out.exists():
        raise MalformedError(f"{out} exists already; name a file that does not")
    begins_ms = now_ms if valid_from_ms is None else valid_from_ms
    named = credential_id or f"urn:uuid:{uuid7(now_ms, int.from_bytes(entropy.bytes(16)))}"
    how: dict[str, Any] = {
        "valid_from_ms": begins_ms,
        "valid_until_ms": begins_ms + days * DAY_MS,
        "created_ms": now_ms,
        "credential_id": named,
        "verification_method": method,
    }
    if status is not None:
        with status_register.opened(status) as register:
            _check_own(register.issuer, wallet, method)
            how["status"] = register.allocate(named, entropy)
    credential = _issued(kind, members, wallet, parent, how)
    data = canonical_bytes(credential)
    if out is not None:
        write_new(out, data + b"\n")
    told = {"file": str(out)} if out is not None else {"credential": credential}
    told_of = {"id": named, "kind": credential["type"][1], "issuer": credential["issuer"], **told}
    lines = [f"{told_of['kind']} {named} issued by {told_of['issuer']}"]
    result(told_of, as_json=as_json, lines=[*lines, f"in {out}"] if out is not None else [data.decode()])


def verify(
    file: Path, at_ms: int | None, status: Path | None, did: Path | None, issuers: Sequence[str], *, as_json: bool
) -> int:
    """Verify a credential; return the exit code."""
    instant_ms = SystemClock().now_ms() if at_ms is None else at_ms
    resolver = Resolver(None if did is None else DirectoryFetcher(did))
    lists = None
    if status is not None:
        lists = StatusLists(StatusFiles(status), resolver, time.monotonic, also_trusted=tuple(issuers))
    verdict = Examiner(instant_ms, resolver, lists, tuple(issuers)).examine(_credential_bytes(file))
    result(_members(verdict), as_json=as_json, lines=_lines(verdict))
    return _CODES[verdict.status]


def did(key: Path, web: str | None, out: Path | None, *, as_json: bool) -> None:
    """Show the DID of a wallet's credential key, or a did:web's document with it."""
    wallet = wallets.load(key)
    own = wallet.did(Purpose.CREDENTIAL)
    if web is None:
        result({"did": own, "method": f"{own}#{own.removeprefix('did:key:')}"}, as_json=as_json, lines=[own])
        return
    place = parse_did_web(web)
    document = multikey_document(web, {wallet.thumbprint(Purpose.CREDENTIAL): wallet.public(Purpose.CREDENTIAL)})
    text = json.dumps(document, indent=2)
    if out is not None:
        write_new(out, text.encode() + b"\n")
    members = {"did": web, "method": document["assertionMethod"][0], "url": place.url, "document": document}
    result(members, as_json=as_json, lines=[text] if out is None else [f"{out}: serve it at {place.url}"])


def _issued(kind: str, members: Document, wallet: Wallet, parent: Path | None, how: dict[str, Any]) -> Document:
    key = wallet.key(Purpose.CREDENTIAL)
    if kind == "node":
        return issue_node(NodeSubject.read(members), key, **how)
    if kind == "role":
        return issue_role(RoleSubject.read(members), key, **how)
    above = None if parent is None else parse_document(read_bounded(parent, MAX_DOCUMENT_BYTES))
    credential = issue_executor(ExecutorSubject.read(members), key, **how, parent=above)
    if above is not None:
        _check_chain(credential, max(how["created_ms"], how["valid_from_ms"]))
    return credential


class _NotAsked:
    """Lets every status pass: lists are asked by whoever verifies."""

    def check(self, entries: Iterable[StatusEntry], *, issuer: str, at_ms: int) -> None:
        """Do nothing."""


def _check_chain(credential: Document, at_ms: int) -> None:
    """Refuse to hand out what nobody would accept. Statuses, and keys of did:web, are whoever verifies will see."""
    top = lineage(credential)[0].get("issuer")
    try:
        verify_executor(credential, trusted_issuers=(str(top),), at_ms=at_ms, status=_NotAsked())
    except CredentialRefusedError as error:
        if error.reason is not Refusal.KEY_UNREACHABLE:
            raise


def _check_own(issuer: str, wallet: Wallet, method: str | None) -> None:
    said = wallet.did(Purpose.CREDENTIAL) if method is None else method.partition("#")[0]
    if issuer != said:
        raise NotAuthorisedError(f"the status register is of the issuer {issuer}")


def _credential_bytes(file: Path) -> bytes:
    """Return what there is to examine: no more than one byte beyond the limit, which then refuses."""
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise MalformedError(f"cannot read {file}: {error.strerror}") from None


def _members(verdict: Verdict) -> dict[str, Any]:
    return {
        "status": verdict.status,
        "kind": verdict.kind,
        "issuer": verdict.issuer,
        "subject": verdict.subject,
        "reason": verdict.reason,
        "detail": verdict.detail,
        "valid_from": verdict.valid_from,
        "valid_until": verdict.valid_until,
        "digest": verdict.digest,
        "claims": verdict.claims,
        "checks": verdict.checks,
        "not_checked": verdict.not_checked,
    }


def _named(verdict: Verdict) -> tuple[tuple[str, Any], ...]:
    return ("issuer", verdict.issuer), ("subject", verdict.subject)


def _lines(verdict: Verdict) -> list[str]:
    said = f"{verdict.status}: {verdict.kind or 'not a credential that verifies'}"
    lines = [said if verdict.reason is None else f"{said}: {verdict.reason} ({verdict.detail})"]
    lines.extend(f"{name:<8} {value}" for name, value in _named(verdict) if value)
    lines.extend(f"  checked      {item}" for item in verdict.checks)
    lines.extend(f"  not checked  {item}" for item in verdict.not_checked)
    return lines
