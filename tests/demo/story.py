"""What two demos of one seed share: every event, with what keys, nonces and salts decide left out, by name of member.

A member is left out where it holds a key, nonce, salt, signature, statement, credential or evidence, or a digest or
commitment that is computed from one: a policy that names roots of machines differs with these. What is left is what
the ledger decided.
"""

import json
from pathlib import Path
from typing import Any

from infrastructure.audit.disclosure import read_keys
from infrastructure.audit.opening import opened_entries
from infrastructure.demo.run import DemoResult
from infrastructure.tlog.reader import read_checkpoint, read_entries

FROM_KEYS = frozenset(
    """
    acceptance acceptances attestation_key cac_key certificate clause_entry ciphertext_digest commitment
    commitments credential credential_digest did digest evidence evidence_digest fault_entry hpke_key hpke_key_digest
    issuers jti kept kid nonce output_commitment output_key platform_id platform_ids policy_digest public_key
    release_key report report_data roots statement statements statements_digest submission submission_digest
    """.split()
)
"""Members that differ from run to run, wherever they stand."""

STORED = {"digest", "size_bytes", "plaintext_digest"}
"""What an event says of sealed bytes: they differ, and a CAC's length with its signature's."""

OF_CAC = frozenset(
    """
    cac_key certificate evidence_digest evidence_entry hardware hpke_key_digest input_commitments nonce outputs policy
    proof release_entry report_data submission_digest
    """.split()
)
"""Members of a CAC document that do."""


def story(result: DemoResult) -> list[str]:
    """Return every event of every bundle, in order, as one line each without what keys decide."""
    return [line for name, path in sorted(result.bundles.items()) for line in _log(name, Path(path))]


def _log(name: str, path: Path) -> list[str]:
    origin, keys = read_keys(path)
    assert origin == read_checkpoint(path).origin
    lines = []
    for recorded in opened_entries(read_entries(path), keys, origin):
        assert recorded is not None
        event = recorded.event
        told = [name, origin, event.TOPIC, str(recorded.stream_id), recorded.version, recorded.at_ms]
        lines.append(json.dumps([*told, _without_keys(event.payload())], sort_keys=True))
    return lines


def _without_keys(value: Any, left_out: frozenset[str] = FROM_KEYS) -> Any:
    if isinstance(value, dict):
        if value.keys() == STORED:
            return "sealed bytes"
        return {
            name: _without_keys(inner, OF_CAC if name == "document" else left_out)
            for name, inner in value.items()
            if name not in left_out
        }
    if isinstance(value, list):
        return [_without_keys(inner, left_out) for inner in value]
    return value
