"""Commands that found and govern: key, init, tenant, clause, policy, node."""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from domain.clauses.events import ClauseMetadata
from domain.errors import MalformedError
from domain.executions.releases import RELEASER, releasers
from domain.identifiers import parse_host
from domain.policies.facts import NodeFacts
from domain.statements import ENDORSEMENT, GOVERNANCE, SUBMISSION
from domain.tenants.events import PrincipalEnrolled, StatementType
from domain.time import DAY_MS
from infrastructure.attestation.attesting import own_machine
from infrastructure.cli.custody import own_custody
from infrastructure.cli.output import result, say
from infrastructure.cli.session import ROOT_KEY, ledger_at, load_wallets, root_wallets
from infrastructure.client import acts
from infrastructure.client.files import read_bounded
from infrastructure.client.machines import enrol_machine
from infrastructure.client.signing import check_person
from infrastructure.commands.clauses import MAX_METADATA_BYTES, read_metadata
from infrastructure.commands.evidence import trust_roots
from infrastructure.commands.loading import find_tenant, load_node, tenants
from infrastructure.commands.shown import tenant_row
from infrastructure.credentials.data_integrity import MAX_DOCUMENT_BYTES, Document, parse_document
from infrastructure.credentials.node import NodeSubject
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.runtime.module import module_bytes
from infrastructure.work import remember_node

MEBIBYTE = 1024 * 1024


def new_key(path: Path, name: str, *, custody: bool, as_json: bool) -> None:
    """Make a wallet."""
    wallet = wallets.create(path, check_person(name), SystemEntropy(), custody=custody)
    _show_wallet(wallet, path, as_json=as_json)


def _show_wallet(wallet: Wallet, path: Path, *, as_json: bool) -> None:
    thumbprints = {purpose.value: wallet.thumbprint(purpose) for purpose in Purpose}
    dids = {purpose.value: wallet.did(purpose) for purpose in Purpose}
    members = {"file": str(path), "name": wallet.name, "did": dids["governance"], "keys": thumbprints, "dids": dids}
    lines = [f"wallet of {wallet.name} in {path}; keep it to yourself", f"did  {members['did']}"]
    if wallet.holds_custody:
        held = wallet.custody()
        members["custody"] = {"release_key": held.release.public.hex(), "output_key": held.output.public.hex()}
        lines.append("it opens a tenant's inputs and outputs: nobody else can, should it be lost")
    result(members, as_json=as_json, lines=[*lines, *(f"{name:<12} {kid}" for name, kid in thumbprints.items())])


def init(
    data_dir: Path, host: str, keys: Sequence[Path], threshold: int, levels: Sequence[str], *, as_json: bool
) -> None:
    """Write the genesis."""
    platform, root = found_cell(data_dir, host, keys, threshold, levels)
    members = {"host": host, "platform": platform, "root": root, "levels": list(levels)}
    lines = [f"genesis written: platform log {platform}, root scope {root}"]
    result(members, as_json=as_json, lines=[*lines, f"priority: {' > '.join(levels)}"])


def found_cell(
    data_dir: Path, host: str, keys: Sequence[Path], threshold: int, levels: Sequence[str]
) -> tuple[str, str]:
    """Write the genesis; return the origins of platform log and root scope."""
    paths = list(keys) or [data_dir / ROOT_KEY]
    parse_host(host)
    if threshold > len(paths):
        raise MalformedError(f"a threshold of {threshold} needs as many wallets: name each with --key FILE")
    data_dir.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths, 1):
        if not path.exists():
            wallets.create(path, f"root-{number}", SystemEntropy())
            say(f"made the root scope's wallet {path}")
    admins = load_wallets(paths)
    if not (data_dir / "keys").is_dir():
        say(f"making a ledger in {data_dir}; this takes some seconds")
    with ledger_at(data_dir, create=True) as ledger:
        root = acts.begin_cell(ledger, host, admins, threshold)
        if levels:
            acts.adopt_levels(ledger, admins, levels)
        return ledger.platform().origin, root.origin


def register_tenant(
    data_dir: Path,
    *,
    dao: str,
    jurisdiction: str,
    keys: Sequence[Path],
    root_keys: Sequence[Path],
    families: Sequence[str],
    classes: Sequence[str],
    issued: Path | None,
    threshold: int,
    valid_days: int,
    scope: str,
    custody: str = "operator",
    release_key: str | None = None,
    output_key: str | None = None,
    as_json: bool,
) -> None:
    """Register a tenant with its admins' acceptance and the endorsement of the scope above."""
    admins, root = load_wallets(keys), root_wallets(data_dir, root_keys)
    held, releaser = own_custody(custody, release_key, output_key, admins[0])
    with ledger_at(data_dir) as ledger:
        tenant = acts.register_tenant(
            ledger,
            dao=dao,
            jurisdiction=jurisdiction,
            admins=admins,
            threshold=threshold,
            root_admins=root,
            families=families,
            resource_classes=classes,
            valid_ms=valid_days * DAY_MS,
            scope=find_tenant(ledger, scope),
            issued=credential_file(issued),
            custody=held,
            releaser=releaser,
        )
    members: dict[str, object] = {
        "tenant": tenant.log_id,
        "dao": tenant.dao,
        "jurisdiction": tenant.jurisdiction,
        "origin": tenant.origin,
        "admins": sorted(tenant.principals),
        "custody": tenant.custody,
    }
    lines = [f"{tenant.dao}/{tenant.jurisdiction} registered, log {tenant.origin}, id {tenant.log_id}"]
    if tenant.custody == "tenant":
        members["releasers"] = sorted(releasers(tenant))
        lines.append(
            f"custody: tenant; its inputs wait for `enclave-ledger release run --tenant {tenant.called} --key ...`"
        )
    result(members, as_json=as_json, lines=lines)


def renew_tenant(
    data_dir: Path,
    tenant: str,
    *,
    root_keys: Sequence[Path],
    families: Sequence[str],
    classes: Sequence[str],
    issued: Path | None,
    valid_days: int,
    as_json: bool,
) -> None:
    """Grant a tenant a new credential."""
    root = root_wallets(data_dir, root_keys)
    with ledger_at(data_dir) as ledger:
        answer = acts.renew_credential(
            ledger,
            find_tenant(ledger, tenant),
            root,
            families=families,
            resource_classes=classes,
            valid_ms=valid_days * DAY_MS,
            issued=credential_file(issued),
        ).answer
    result(dict(answer), as_json=as_json, lines=[f"{tenant} has a new TEEExecutorVC, digest {answer['credential']}"])


def enrol_key(
    data_dir: Path, tenant: str, wallet: Path, role: str, purpose: str, keys: Sequence[Path], *, as_json: bool
) -> None:
    """Enrol a key of a further person."""
    admins, enrolled = load_wallets(keys), enrolment_of(wallet, role, purpose)
    with ledger_at(data_dir) as ledger:
        acts.enrol(ledger, find_tenant(ledger, tenant), admins, enrolled, load_wallets([wallet])[0])
    members = {"kid": enrolled.kid, "person": enrolled.person, "role": role, "type": enrolled.statement_type}
    result(members, as_json=as_json, lines=[f"{enrolled.person} may sign {enrolled.statement_type} as {role}"])


def enrolment_of(wallet: Path, role: str, purpose: str) -> PrincipalEnrolled:
    """Return the enrolment of one of a wallet's keys, not signed yet.

    Raises:
        MalformedError: when role or purpose are none, or don't go together.
    """
    types: dict[str, StatementType] = {
        "governance": GOVERNANCE, "submission": SUBMISSION, "endorsement": ENDORSEMENT,
    }  # fmt: skip
    if purpose not in types:
        raise MalformedError(f"--purpose is governance, submission or endorsement, not {purpose[:32]!a}")
    if (purpose == "endorsement") != (role == RELEASER):
        raise MalformedError("a tenant's endorsement keys are its releasers': --role releaser --purpose endorsement")
    try:
        return acts.principal(load_wallets([wallet])[0], Purpose(purpose), role, types[purpose])
    except ValidationError:
        raise MalformedError("--role is a word of letters, digits, '-' or '_'") from None


def revoke_key(data_dir: Path, tenant: str, kid: str, reason: str, keys: Sequence[Path], *, as_json: bool) -> None:
    """Withdraw a key."""
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        acts.revoke(ledger, find_tenant(ledger, tenant), admins, kid, reason)
    result({"kid": kid}, as_json=as_json, lines=[f"{kid} signs nothing more for {tenant}"])


def list_tenants(data_dir: Path, *, as_json: bool) -> None:
    """List the tenants of this cell."""
    with ledger_at(data_dir) as ledger:
        rows = [tenant_row(one) for one in tenants(ledger)]
    lines = [f"{row['dao']}/{row['jurisdiction']}  {row['origin']}  {row['tenant']}" for row in rows]
    result({"tenants": rows}, as_json=as_json, lines=lines or ["no tenant is registered yet"])


def register_clause(data_dir: Path, file: Path, keys: Sequence[Path], tenant: str, *, as_json: bool) -> None:
    """Register a clause: a JSON file with its metadata and, as `module`, the path of its .wasm or .wat file."""
    metadata, wasm = clause_of(file)
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        answer = acts.register_clause(ledger, find_tenant(ledger, tenant), admins, metadata, wasm).answer
    lines = [f"{answer['clause_id']} registered, module sha256 {answer['module_digest']}"]
    result(dict(answer), as_json=as_json, lines=lines)


def clause_of(file: Path) -> tuple[ClauseMetadata, bytes]:
    """Return the metadata and module of a clause's file.

    Raises:
        MalformedError: when it is none.
    """
    data = json_object(file, MAX_METADATA_BYTES)
    module = data.pop("module", None)
    if not isinstance(module, str):
        raise MalformedError(f'{file.name} names its module as "module": "file.wasm" (or .wat)')
    return read_metadata(json.dumps(data).encode()), module_bytes(file.parent / module)


def deprecate_clause(
    data_dir: Path, clause_id: str, reason: str, keys: Sequence[Path], tenant: str, *, as_json: bool
) -> None:
    """Deprecate a clause."""
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        answer = acts.deprecate_clause(ledger, find_tenant(ledger, tenant), admins, clause_id, reason).answer
    result(dict(answer), as_json=as_json, lines=[f"{clause_id} is deprecated"])


def enrol_node(
    data_dir: Path,
    facts: dict[str, object],
    key: Path,
    root_keys: Sequence[Path],
    *,
    issued: Path | None,
    as_json: bool,
    platform: str = "software",
) -> None:
    """Enrol a node and let this installation run it, by its key's word or on a synthetic machine."""
    issuer = root_wallets(data_dir, root_keys)[0]
    try:
        known = NodeFacts.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise MalformedError(f"node is malformed at {where}: {first['msg']}") from None
    if not key.exists():
        wallets.create(key, known.node, SystemEntropy())
        say(f"made the node's wallet {key}")
    wallet, credential = wallets.load(key), credential_file(issued)
    if credential is not None:
        platform_ids = NodeSubject.read(credential.get("credentialSubject", {})).platform_ids
        known = known.model_copy(update={"platform_ids": platform_ids})
    with ledger_at(data_dir) as ledger:
        if platform == "software":
            acts.enrol_node(ledger, wallet, issuer, known, issued=credential)
            remember_node(data_dir, known.node, key)
        else:
            machine = own_machine(data_dir, platform, known.node, ledger.clock.now_ms)
            trust_roots(data_dir, machine.root_pem)
            enrol_machine(ledger, wallet, issuer, known, machine, issued=credential)
            remember_node(data_dir, known.node, key, machine.kind)
        enrolled = load_node(ledger, known.node).enrolled.facts
    members = enrolled.model_dump(mode="json", include={"node", "country", "operator", "slots", "evidence_class"})
    lines = [f"node {known.node} enrolled, operated in {known.country}; it works here"]
    if enrolled.evidence_root is not None:
        members["evidence_root"] = enrolled.evidence_root
        lines.append(f"its machine proved itself ({platform}); policies name its root: {enrolled.evidence_root}")
    result(members, as_json=as_json, lines=lines)


def drain_node(data_dir: Path, name: str, reason: str, root_keys: Sequence[Path], *, as_json: bool) -> None:
    """Drain a node."""
    root = root_wallets(data_dir, root_keys)
    with ledger_at(data_dir) as ledger:
        answer = acts.drain_node(ledger, root, name, reason).answer
    result(dict(answer), as_json=as_json, lines=[f"{name} takes no new work"])


def return_node(data_dir: Path, name: str, reason: str, root_keys: Sequence[Path], *, as_json: bool) -> None:
    """Let a node take work again."""
    root = root_wallets(data_dir, root_keys)
    with ledger_at(data_dir) as ledger:
        answer = acts.return_node(ledger, root, name, reason).answer
    result(dict(answer), as_json=as_json, lines=[f"{name} takes work again"])


def credential_file(file: Path | None) -> Document | None:
    """Read a credential that was issued elsewhere; None where no file was named."""
    return None if file is None else parse_document(read_bounded(file, MAX_DOCUMENT_BYTES))


def json_object(file: Path, limit: int) -> dict[str, object]:
    """Read a JSON object from a file.

    Raises:
        MalformedError: when it is none.
    """
    try:
        value = json.loads(read_bounded(file, limit))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{file.name} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise MalformedError(f"{file.name} is not a JSON object")
    return value
