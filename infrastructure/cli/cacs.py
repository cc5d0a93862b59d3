"""The commands `cac export` and `cac verify`."""

from collections.abc import Sequence
from pathlib import Path

from domain.errors import MalformedError
from infrastructure.audit.anchored import verify_anchored
from infrastructure.audit.verify import verify_bundle
from infrastructure.cacs.export import export_cac
from infrastructure.cacs.presented import Form
from infrastructure.cacs.verify import MAX_FILE_BYTES, Bundle, Verdict, verify_cac
from infrastructure.cli.anchored_auditing import expectations, keys_from_outside
from infrastructure.cli.auditing import verifier_keys
from infrastructure.cli.output import GOOD, WARNING, WRONG, result
from infrastructure.cli.session import ledger_at
from infrastructure.client.files import read_bounded, write_new
from infrastructure.keys import did_key, ed25519
from infrastructure.tlog.verdict import Verification


def export(data_dir: Path, cac_id: str, form: Form, out: Path, *, as_json: bool) -> None:
    """Write a CAC in a form to a new file."""
    with ledger_at(data_dir) as ledger:
        data = export_cac(ledger, cac_id, form)
    write_new(out, data)
    members = {"cac": cac_id, "format": form, "out": str(out), "bytes": len(data)}
    result(members, as_json=as_json, lines=[f"{cac_id} as {form} in {out} ({len(data)} bytes)"])


def verify(
    file: Path,
    directory: Path | None,
    log_keys: Sequence[str],
    policy: Path | None,
    tenant_key: str | None,
    *,
    at_ms: int | None,
    as_json: bool,
) -> int:
    """Verify a CAC; return the exit code."""
    public = None if tenant_key is None else _public_key(tenant_key)
    bundle = None if directory is None else _bundle(directory, log_keys, policy)
    verdict = verify_cac(read_bounded(file, MAX_FILE_BYTES), bundle=bundle, tenant_key=public, at_ms=at_ms)
    result(verdict.to_json(), as_json=as_json, lines=_lines(verdict))
    if not verdict.ok:
        return WRONG
    return WARNING if verdict.issued is False else GOOD


def _bundle(directory: Path, log_keys: Sequence[str], policy: Path | None) -> Bundle:
    expected = expectations(policy, verifier_keys(log_keys))

    def verified() -> Verification:
        verdict = verify_bundle(directory, log_keys=keys_from_outside(expected))
        return verify_anchored(directory, verdict, expected)[0]

    return Bundle(directory, verified)


def _public_key(text: str) -> bytes:
    """Return the key that --tenant-key names: 64 hex digits, or a did:key."""
    if text.startswith("did:key:"):
        return did_key.public_key(text)
    try:
        return ed25519.check_public_key(bytes.fromhex(text))
    except ValueError:
        raise MalformedError("--tenant-key takes an Ed25519 public key: 64 hex digits, or a did:key") from None


def _lines(verdict: Verdict) -> list[str]:
    lines = [f"{'ok' if verdict.ok else 'NOT OK'}: {verdict.trust}"]
    told = verdict.claims
    if told is not None:
        about = told.tenant_info
        lines.append(f"{told.cac_id}  {told.outcome}  {told.clause_id}  for {about.dao}/{about.jurisdiction}")
        lines.append(f"evidence {told.evidence_class}; released under {told.released_by}; {told.scope}")
    if verdict.reason is not None:
        lines.append(f"refused: {verdict.reason}: {verdict.error}")
    if verdict.issued is False:
        lines.append("not shown: that its log issued it")
    lines.extend(f"  checked      {item}" for item in verdict.checked)
    lines.extend(f"  not checked  {item}" for item in verdict.not_checked)
    lines.extend(f"  key          {item}" for item in verdict.fingerprints)
    return lines
