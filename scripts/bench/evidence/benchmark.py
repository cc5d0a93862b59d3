"""The benchmark `evidence`: pieces of evidence verified, appraised and signed as EAR in a second, on one core.

Invariants:
- Each piece is another one: a report or quote of its own over its own report_data, read from raw bytes. What the
  verifier may remember is what it remembers in a service: chains and collateral of machines that it has seen.
- The value is that of the slowest format. A piece that does not affirm, or an EAR that does not verify, is no result.
"""

import hashlib
import tempfile
import time
from pathlib import Path

from domain.attestation.appraiser import AppraisalPolicy, appraise
from domain.attestation.trust_vector import Tier
from domain.errors import VerificationError
from infrastructure.attestation.ear import EarSigner, verify_ear
from infrastructure.attestation.endorsements import sort_endorsements
from infrastructure.attestation.synthetic.platform import Kind, SyntheticPlatform
from infrastructure.attestation.verify import verify
from infrastructure.keys import ed25519
from infrastructure.keys.thumbprint import thumbprint
from scripts.bench.benchmark import Benchmark, Measured, Options
from scripts.bench.machine import load_average
from scripts.bench.metrics import Metric, Result
from scripts.bench.rounds import clean_heap, repeat, rounds_of

APPRAISED = Metric("evidence.appraised", "/s", floor="800")

PIECES_A_ROUND = 600
MACHINES = 20
_BEGIN_S = 1_750_000_000
_KINDS: dict[Kind, int] = {"sgx": 32, "tdx": 48, "snp": 48}


def measure(options: Options) -> Measured:
    """Make a synthetic platform in a directory of its own, and measure each format."""
    load_before = load_average()
    with tempfile.TemporaryDirectory(prefix="enclave-ledger-bench-", dir=options.directory) as made:
        platform = SyntheticPlatform(Path(made) / "synthetic", _BEGIN_S, bits=2048)
        rounds = rounds_of(quick=options.quick)
        rates: dict[Kind, float] = {}
        for kind in _KINDS:
            options.say(f"evidence of format {kind}")
            rates[kind] = measure_on(platform, kind, rounds=rounds)
    sizes = {
        "pieces": f"{rounds} rounds of {PIECES_A_ROUND} a format, of {MACHINES} machines",
        **{f"{kind} a second": f"{rate:.0f}" for kind, rate in rates.items()},
    }
    return Measured((Result(APPRAISED, min(rates.values())),), {"load_before": load_before}, sizes)


def measure_on(platform: SyntheticPlatform, kind: Kind, *, rounds: int, pieces: int = PIECES_A_ROUND) -> float:
    """Return how many pieces of one format a second are verified, appraised and signed: the median of the rounds.

    Raises:
        VerificationError: when one does not affirm, or its EAR says something else.
    """
    key = ed25519.private_key(hashlib.sha256(b"verifier").digest())
    signer = EarSigner(key, "bench")
    roots = platform.roots
    policy = AppraisalPolicy(policy_id="bench", roots=frozenset(_spki(platform)))
    names = [f"node-{number}" for number in range(MACHINES)]
    given = {name: sort_endorsements(platform.endorsements(kind, name, _BEGIN_S)) for name in names}
    at_s = _BEGIN_S + 60

    def one_round() -> float:
        work = []
        for number in range(pieces):
            name, data = names[number % MACHINES], hashlib.sha512(number.to_bytes(8, "big")).digest()
            work.append((name, data, platform.quote(kind, name, data, b"m" * _KINDS[kind])))
        tokens = []
        with clean_heap():
            began = time.process_time()
            for name, data, raw in work:
                claims = verify(raw, given[name], at_s, roots)
                result = appraise(claims, None, policy, data)
                tokens.append(signer.sign(result, claims, issued_at_s=at_s, nonce=data))
            took = time.process_time() - began
        public = ed25519.public_bytes(key)
        for (_, data, _), token in zip(work, tokens, strict=True):
            ear = verify_ear(token, {thumbprint(public): public})
            if ear.status is not Tier.AFFIRMING or ear.nonce != data:
                raise VerificationError("a piece of evidence does not affirm")
        return pieces / took

    return repeat(rounds, one_round)


def _spki(platform: SyntheticPlatform) -> list[str]:
    roots = platform.roots
    return [root.spki_sha256 for root in (*roots.amd, roots.intel) if root is not None]


EVIDENCE = Benchmark("evidence", (APPRAISED,), measure)
