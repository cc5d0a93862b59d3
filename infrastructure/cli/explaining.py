"""The command `why`."""

from pathlib import Path

from infrastructure.cli.output import result
from infrastructure.cli.session import ledger_at
from infrastructure.client.files import write_new
from infrastructure.commands.loading import find_log, log_of
from infrastructure.explaining import explain, explained
from infrastructure.publish.places import tiles_of


def why(data_dir: Path, prefixed_id: str, *, at_ms: int | None, proof: Path | None, as_json: bool) -> None:
    """Say what became of a workload, execution or CAC, gate by gate, and when it is looked at again."""
    with ledger_at(data_dir) as ledger:
        found = explain(ledger, prefixed_id, at_ms=at_ms)
        if proof is not None:
            log = find_log(ledger, str(log_of(ledger, prefixed_id)))
            write_new(proof, tiles_of(ledger, log).proof(found["decision"]["leaf_index"]).to_bytes())
            found["decision"]["proof"] = str(proof)
    result(found, as_json=as_json, lines=explained(found))
