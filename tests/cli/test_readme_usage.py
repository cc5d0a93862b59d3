"""The README's block on usage and results, word for word, after what the first steps leave behind."""

import re
import subprocess
from pathlib import Path

from tests.cli.conftest import EXAMPLES, ROOT, TENANT, Installation, first_steps
from tests.database import TestServer


def block() -> str:
    """Return the block of the README under "Usage and results"."""
    found = re.search(
        r"^## Usage and results\n.*?^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return found.group(1)


def test_the_readmes_usage_and_results_work_word_for_word(postgres: TestServer, tmp_path: Path) -> None:
    with postgres.database() as name:
        ledger = Installation(tmp_path, {"LEDGER_DATABASE_URL": postgres.conninfo(name), "EXAMPLES": str(EXAMPLES)})
        first_steps(ledger)
        for _ in range(2):
            ledger.inside("submit", EXAMPLES / "flood.submission.json", "--tenant", TENANT, "--key", "alice.json")
        ledger.done("anchor", "run", "--once")
        ledger.done("trust", "export", "--tenant", TENANT, "--out", "climate.policy")
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block()], cwd=tmp_path, env=ledger.environment(), text=True,
            capture_output=True, check=False, timeout=300,
        )  # fmt: skip
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said
        assert "ok: verified" in said
        assert re.search(r"^verified: cac\.issued cac-0x[0-9a-f]{32} message [0-9a-f]{32}$", said, re.MULTILINE), said
        assert "operator Nordrechner" in said
        assert ended.stdout.rstrip().endswith("ended")
