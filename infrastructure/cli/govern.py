"""Commands that found and govern: key, init, tenant, clause, policy, node."""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from domain.errors import MalformedError
from domain.identifiers import parse_host
from domain.policies.facts import NodeFacts
from domain.policies.kinds import MAX_POLICY_BYTES, parse_policy
from domain.statements import GOVERNANCE, SUBMISSION
from domain.tenants.events import StatementType
from domain.time import DAY_MS
from infrastructure.cli.output import result, say
from infrastructure.cli.session import ROOT_KEY, ledger_at, load_wallets, root_wallets
from infrastructure.client import acts
from infrastructure.client.files import read_bounded
from infrastructure.client.signing import check_person
from infrastructure.commands.clauses import MAX_METADATA_BYTES, read_metadata
from infrastructure.commands.loading import find_tenant, tenants
from infrastructure.entropy import SystemEntropy
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.runtime.module import module_bytes
from infrastructure.work import remember_node

MEBIBYTE = 1024 * 1024


def new_key(path: Path, name: str, *, as_json: bool) -> None:
    """Make a wallet."""
    wallet = wallets.create(path, check_person(name), SystemEntropy())
    _show_wallet(wallet, path, as_json=as_json)


def _show_wallet(wallet: Wallet, path: Path, *, as_json: bool) -> None:
    thumbprints = {purpose.value: wallet.thumbprint(purpose) for purpose in Purpose}
    members = {"file": str(path), "name": wallet.name, "did": wallet.did(Purpose.GOVERNANCE), "keys": thumbprints}
    lines = [f"wallet of {wallet.name} in {path}; keep it to yourself", f"did  {members['did']}"]
    result(members, as_json=as_json, lines=[*lines, *(f"{name:<12} {kid}" for name, kid in thumbprints.items())])


def init(
    data_dir: Path, host: str, keys: Sequence[Path], threshold: int, levels: Sequence[str], *, as_json: bool
) -> None:
    """Write the genesis."""
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
    with ledger_at(data_dir, create=True) as ledger:
        root = acts.begin_cell(ledger, host, admins, threshold)
        if levels:
            acts.adopt_levels(ledger, admins, levels)
        platform = ledger.platform()
    members = {"host": host, "platform": platform.origin, "root": root.origin, "levels": list(levels)}
    lines = [f"genesis written: platform log {platform.origin}, root scope {root.origin}"]
    result(members, as_json=as_json, lines=[*lines, f"priority: {' > '.join(levels)}"])


def register_tenant(
    data_dir: Path,
    *,
    dao: str,
    jurisdiction: str,
    keys: Sequence[Path],
    root_keys: Sequence[Path],
    families: Sequence[str],
    classes: Sequence[str],
    threshold: int,
    valid_days: int,
    as_json: bool,
) -> None:
    """Register a tenant with its admins' acceptance and the root scope's endorsement."""
    admins, root = load_wallets(keys), root_wallets(data_dir, root_keys)
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
        )
    members = {
        "tenant": tenant.log_id,
        "dao": tenant.dao,
        "jurisdiction": tenant.jurisdiction,
        "origin": tenant.origin,
        "admins": sorted(tenant.principals),
    }
    lines = [f"{tenant.dao}/{tenant.jurisdiction} registered, log {tenant.origin}, id {tenant.log_id}"]
    result(members, as_json=as_json, lines=lines)


def renew_tenant(
    data_dir: Path,
    tenant: str,
    *,
    root_keys: Sequence[Path],
    families: Sequence[str],
    classes: Sequence[str],
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
        ).answer
    result(dict(answer), as_json=as_json, lines=[f"{tenant} has a new TEEExecutorVC, digest {answer['credential']}"])


def enrol_key(
    data_dir: Path, tenant: str, wallet: Path, role: str, purpose: str, keys: Sequence[Path], *, as_json: bool
) -> None:
    """Enrol a key of a further person."""
    types: dict[str, StatementType] = {"governance": GOVERNANCE, "submission": SUBMISSION}
    if purpose not in types:
        raise MalformedError(f"--purpose is governance or submission, not {purpose[:32]!a}")
    admins, newcomer = load_wallets(keys), load_wallets([wallet])[0]
    with ledger_at(data_dir) as ledger:
        try:
            enrolled = acts.principal(newcomer, Purpose(purpose), role, types[purpose])
        except ValidationError:
            raise MalformedError("--role is a word of letters, digits, '-' or '_'") from None
        acts.enrol(ledger, find_tenant(ledger, tenant), admins, enrolled)
    members = {"kid": enrolled.kid, "person": enrolled.person, "role": role, "type": enrolled.statement_type}
    result(members, as_json=as_json, lines=[f"{enrolled.person} may sign {enrolled.statement_type} as {role}"])


def revoke_key(data_dir: Path, tenant: str, kid: str, reason: str, keys: Sequence[Path], *, as_json: bool) -> None:
    """Withdraw a key."""
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        acts.revoke(ledger, find_tenant(ledger, tenant), admins, kid, reason)
    result({"kid": kid}, as_json=as_json, lines=[f"{kid} signs nothing more for {tenant}"])


def list_tenants(data_dir: Path, *, as_json: bool) -> None:
    """List the tenants of this cell."""
    with ledger_at(data_dir) as ledger:
        rows = [
            {
                "tenant": t.log_id,
                "dao": t.dao,
                "jurisdiction": t.jurisdiction,
                "origin": t.origin,
                "endorsed": t.endorsed,
            }
            for t in tenants(ledger)
        ]
    lines = [f"{row['dao']}/{row['jurisdiction']}  {row['origin']}  {row['tenant']}" for row in rows]
    result({"tenants": rows}, as_json=as_json, lines=lines or ["no tenant is registered yet"])


def register_clause(data_dir: Path, file: Path, keys: Sequence[Path], tenant: str, *, as_json: bool) -> None:
    """Register a clause: a JSON file with its metadata and, as `module`, the path of its .wasm or .wat file."""
    data = json_object(file, MAX_METADATA_BYTES)
    module = data.pop("module", None)
    if not isinstance(module, str):
        raise MalformedError(f'{file.name} names its module as "module": "file.wasm" (or .wat)')
    metadata = read_metadata(json.dumps(data).encode())
    wasm = module_bytes(file.parent / module)
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        answer = acts.register_clause(ledger, find_tenant(ledger, tenant), admins, metadata, wasm).answer
    lines = [f"{answer['clause_id']} registered, module sha256 {answer['module_digest']}"]
    result(dict(answer), as_json=as_json, lines=lines)


def deprecate_clause(
    data_dir: Path, clause_id: str, reason: str, keys: Sequence[Path], tenant: str, *, as_json: bool
) -> None:
    """Deprecate a clause."""
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        answer = acts.deprecate_clause(ledger, find_tenant(ledger, tenant), admins, clause_id, reason).answer
    result(dict(answer), as_json=as_json, lines=[f"{clause_id} is deprecated"])


def adopt_policy(data_dir: Path, file: Path, keys: Sequence[Path], tenant: str, *, as_json: bool) -> None:
    """Put a policy in force."""
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        found = find_tenant(ledger, tenant)
        policy = parse_policy(read_bounded(file, MAX_POLICY_BYTES), found.jurisdiction)
        acts.adopt_policy(ledger, found, admins, policy)
        now = find_tenant(ledger, tenant)
    members = {"version": now.policy_version, "digest": policy.digest(), "rules": [r.kind for r in policy.rules]}
    result(members, as_json=as_json, lines=[f"policy {now.policy_version} of {tenant} in force: {policy.digest()}"])


def enrol_node(
    data_dir: Path, facts: dict[str, object], key: Path, root_keys: Sequence[Path], *, as_json: bool
) -> None:
    """Enrol a node and let this installation run it."""
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
    wallet = wallets.load(key)
    with ledger_at(data_dir) as ledger:
        acts.enrol_node(ledger, wallet, issuer, known)
    remember_node(data_dir, known.node, key)
    members = {"node": known.node, "country": known.country, "operator": known.operator, "slots": known.slots}
    result(members, as_json=as_json, lines=[f"node {known.node} enrolled, operated in {known.country}; it works here"])


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
