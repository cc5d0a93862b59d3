"""The witnesses that a cell asks, as its operator names them, and how they are asked.

They stand in `DATA/witnesses.policy`: a tlog-policy with a URL on each witness line, no log lines, and the quorum that
`trust export` hands on. A witness with two keys has two lines with one URL, and one group that counts it once:

    witness w1-ed25519 witness.example/w1+...+... https://witness.example/
    witness w1-mldsa44 witness.example/w1+...+... https://witness.example/
    group w1 any w1-ed25519 w1-mldsa44
    quorum w1

Invariants:
- All witnesses are asked at once. One that is down, slow or wrong costs the others nothing, and the round at most the
  time limit.
- What a witness says against our log is told apart from silence: ahead and disagrees are results, never lost.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.errors import LedgerError, MalformedError, UnavailableError, VerificationError
from domain.transparency.note import Note, VerifierKey
from domain.transparency.tlog_policy import MAX_POLICY_BYTES, NO_QUORUM, TlogPolicy, parse_policy
from infrastructure.tlog.cosigning import merge_cosignatures
from infrastructure.witness.client import Cosigned, Prove, WitnessClient

WITNESSES = "witnesses.policy"
TIMEOUT_S = 10.0
"""How long one request to a witness may take. A witness is asked twice at most."""

_GRACE_S = 1.0
MAX_WITNESSES = 32

NOBODY = TlogPolicy((), (), (), NO_QUORUM)


@dataclass(frozen=True, slots=True)
class ConfiguredWitness:
    """One witness: its name, the prefix of its URL, its keys."""

    name: str
    url: str
    keys: tuple[VerifierKey, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of asking one witness: a cosigned checkpoint, or the error that stands for its refusal or silence."""

    witness: ConfiguredWitness
    outcome: Cosigned | LedgerError


def read_witnesses(data_dir: Path) -> TlogPolicy:
    """Return the witnesses of a data directory and their quorum; nobody where no file names any.

    Raises:
        MalformedError: when the file is no tlog-policy, or not one of witnesses.
    """
    path = data_dir / WITNESSES
    try:
        with path.open("rb") as file:
            data = file.read(MAX_POLICY_BYTES + 1)
    except FileNotFoundError:
        return NOBODY
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}") from None
    try:
        policy = parse_policy(data)
        configured(policy)
    except MalformedError as error:
        raise MalformedError(f"{path}: {error}") from None
    return policy


def configured(policy: TlogPolicy) -> tuple[ConfiguredWitness, ...]:
    """Return the witnesses of a policy: keys with one key name are one witness's.

    Raises:
        MalformedError: when a witness has no URL or two, there are too many, or the policy names logs.
    """
    if policy.logs:
        raise MalformedError("it names logs; a file of witnesses names witnesses, groups and the quorum only")
    found: dict[str, ConfiguredWitness] = {}
    for line in policy.witnesses:
        name = line.key.name
        if line.url is None:
            raise MalformedError(f"the witness {line.name!a} has no URL to be asked at")
        known = found.get(name, ConfiguredWitness(name, line.url, ()))
        if known.url != line.url:
            raise MalformedError(f"the witness {name!a} has two URLs")
        WitnessClient(line.url, (line.key,))  # refuses what can't be asked before anybody is
        found[name] = ConfiguredWitness(name, line.url, (*known.keys, line.key))
    if len(found) > MAX_WITNESSES:
        raise MalformedError(f"at most {MAX_WITNESSES} witnesses are asked, not {len(found)}")
    return tuple(found.values())


def ask(
    witnesses: Sequence[ConfiguredWitness],
    note: Note,
    sizes: dict[str, int],
    prove: Prove,
    *,
    timeout_s: float = TIMEOUT_S,
) -> tuple[Answered, ...]:
    """Ask all witnesses at once to cosign a checkpoint.

    Args:
        witnesses: whom.
        note: our signed checkpoint.
        sizes: the size that each cosigned last, by name, where it is known.
        prove: consistency proofs of our log; called from several threads.
        timeout_s: bound of each request.

    Returns:
        One answer for each witness, in their order.
    """
    outcomes: dict[str, Cosigned | LedgerError] = {}

    def one(witness: ConfiguredWitness) -> None:
        client = WitnessClient(witness.url, witness.keys, timeout_s=timeout_s)
        try:
            outcomes[witness.name] = client.add_checkpoint(note, sizes.get(witness.name, 0), prove)
        except LedgerError as error:
            outcomes[witness.name] = error
        except Exception as error:  # noqa: BLE001 - whatever one witness brings about is that witness's failure
            outcomes[witness.name] = VerificationError(f"witness {witness.name!a}: {type(error).__name__}")

    # Daemons: a name server that hangs can't be cut off, and must not hold the round or the process's end.
    threads = [threading.Thread(target=one, args=(witness,), daemon=True) for witness in witnesses]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 2 * timeout_s + _GRACE_S
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    late = UnavailableError("it did not answer in time")
    return tuple(Answered(witness, outcomes.get(witness.name, late)) for witness in witnesses)


def merged(note: Note, answers: Sequence[Answered]) -> Note:
    """Return the checkpoint with the lines of every witness that cosigned it."""
    for answer in answers:
        if isinstance(answer.outcome, Cosigned):
            note, _ = merge_cosignatures(note, answer.outcome.note.signatures, answer.witness.keys)
    return note
