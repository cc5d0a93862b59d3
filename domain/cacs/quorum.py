"""The comparison of independent enclaves' results: who agrees, and who differs (domain rule 6).

Invariants:
- Results are compared by outcome and output commitment. One that differs is enough: there is no vote that overrules it.
- Who differs is told against the strict majority; without one all differ, for nobody can tell who is right.
"""

from collections import Counter
from collections.abc import Sequence

from domain.cacs.events import EnclaveResult


def agreed(results: Sequence[EnclaveResult]) -> tuple[str, str] | None:
    """Return the outcome and output commitment that all results share, or None."""
    found = {_given(result) for result in results}
    return found.pop() if len(found) == 1 else None


def differing(results: Sequence[EnclaveResult]) -> tuple[str, ...]:
    """Return the executions whose result is not the strict majority's, in order; none where all agree."""
    counts = Counter(map(_given, results))
    most = [given for given, count in counts.items() if 2 * count > len(results)]
    return tuple(result.execution_id for result in results if _given(result) not in most)


def _given(result: EnclaveResult) -> tuple[str, str]:
    return result.outcome, result.output_commitment
