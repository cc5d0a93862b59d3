"""Who vouches for an anchor log's checkpoint: its own keys, and the witnesses of a policy.

A witness is the operator's own if its key is named under the ledger's host (`<host>/...`), or if the policy's group
`own` holds it: the reader of a policy may put any witness there. Their word counts for the quorum that the policy asks
for, and alone never makes a checkpoint independently witnessed (wire formats 2).

Invariants:
- A line under a known key's name and id must verify, or the note is refused.
- "Independently witnessed" needs the policy's quorum, and among those who cosigned one that is not the operator's own;
  both for every anchor tree that was looked at. The time is then the newest at which both held.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.errors import VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, VerifierKey
from domain.transparency.tlog_policy import NO_QUORUM, TlogPolicy
from infrastructure.tlog.cosigning import cosignature_times, verify_log_signatures

OWN = "own"
"""Name of the witness or group that a policy calls the operator's own."""

MAX_SKEW_S = 600
"""How far a witness's clock may be ahead of the reader's."""


def own_witnesses(policy: TlogPolicy, host: str) -> frozenset[str]:
    """Return the names (within the policy) of the witnesses that are the operator's own."""
    own = {OWN} | {one.name for one in policy.witnesses if one.key.name == host or one.key.name.startswith(f"{host}/")}
    for group in reversed(policy.groups):  # members come before their group
        if group.name in own:
            own.update(group.members)
    return frozenset(one.name for one in policy.witnesses if one.name in own)


@dataclass(frozen=True, slots=True)
class Witnessing:
    """What witnesses say of one or more anchor trees.

    `since_unix_s` is the newest time at which a quorum, one independent witness in it, had cosigned; None without one.
    """

    independent: bool
    since_unix_s: int | None
    cosigned_by: tuple[str, ...]
    why_not: str | None = None

    def require_age(self, now_unix_s: int, max_age_s: int) -> None:
        """Refuse what no quorum cosigned recently enough.

        Raises:
            VerificationError: naming what is missing, or the age.
        """
        if self.since_unix_s is None:
            raise VerificationError(f"too old or never witnessed: {self.why_not}")
        age = now_unix_s - self.since_unix_s
        if age < -MAX_SKEW_S:
            raise VerificationError(f"a quorum of witnesses states a time {-age} s from now: compare the clocks")
        if age > max_age_s:
            raise VerificationError(
                f"too old: a quorum of witnesses last cosigned {age} s ago, more than {max_age_s} s"
            )


NOT_WITNESSED = Witnessing(independent=False, since_unix_s=None, cosigned_by=(), why_not="no policy names a witness")


def witnessing(policy: TlogPolicy, host: str, note: Note, checkpoint: Checkpoint) -> Witnessing:
    """Tell what the witnesses of a policy say of one checkpoint whose log's signatures were verified.

    Raises:
        VerificationError: when a known witness's line is wrong.
    """
    times = cosignature_times(note, checkpoint, [witness.key for witness in policy.witnesses])
    quorum = policy.evaluate(times)
    own = own_witnesses(policy, host)
    independent = [times[one.key] for one in policy.witnesses if one.key in times and one.name not in own]
    by = quorum.cosigned_by
    if policy.quorum == NO_QUORUM:
        return Witnessing(
            independent=False, since_unix_s=None, cosigned_by=by, why_not="the policy asks for no witness"
        )
    if quorum.newest_unix_s is None:
        who = ", ".join(map(ascii, by)) or "nobody"
        return Witnessing(independent=False, since_unix_s=None, cosigned_by=by, why_not=f"no quorum: cosigned by {who}")
    if not independent:
        why = "only the operator's own witnesses cosigned"
        return Witnessing(independent=False, since_unix_s=None, cosigned_by=by, why_not=why)
    return Witnessing(independent=True, since_unix_s=min(quorum.newest_unix_s, max(independent)), cosigned_by=by)


class Judge:
    """Judges the signatures of checkpoints, as `anchor_evidence.CheckNote` asks, and remembers who cosigned.

    Args:
        keys: the verifier keys that the reader has for the log and its anchor log, of any generation. A note needs a
            signature of each type that is known for its log.
        policy: its witnesses judge the anchor log; None for nobody.
        anchors: the anchor log's origin.
    """

    def __init__(self, keys: Iterable[VerifierKey], policy: TlogPolicy | None, anchors: str) -> None:
        self.keys = tuple(keys)
        self._policy = policy
        self._anchors = anchors
        self._found: list[Witnessing] = []
        self.largest = 0

    def __call__(self, note: Note, checkpoint: Checkpoint) -> None:
        """Judge a note.

        Raises:
            VerificationError: when it is not signed as it must be.
        """
        signed = {key.type for key in verify_log_signatures(note, checkpoint, self.keys, every=False)}
        for key in self.keys:
            if key.name == checkpoint.origin and key.type not in signed:
                raise VerificationError(f"signature stripped: {checkpoint.origin!a} also signs with {key.fingerprint}")
        if checkpoint.origin != self._anchors:
            return
        self.largest = max(self.largest, checkpoint.size)
        if self._policy is not None:
            host = self._anchors.rpartition("/")[0]
            self._found = _worst(self._found, witnessing(self._policy, host, note, checkpoint))

    @property
    def witnessing(self) -> Witnessing:
        """Return what the witnesses say of all anchor trees that were judged."""
        return self._found[0] if self._found else NOT_WITNESSED


def _worst(known: Sequence[Witnessing], found: Witnessing) -> list[Witnessing]:
    """Return the one that vouches for both: the weaker, with the newer time."""
    if not known or not found.independent:
        return [found]
    before = known[0]
    if not before.independent:
        return [before]
    times = [time for time in (before.since_unix_s, found.since_unix_s) if time is not None]
    return [found if found.since_unix_s == max(times) else before]
