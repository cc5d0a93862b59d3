"""Cosignatures of checkpoints: made by witnesses, verified and merged by everybody else (c2sp.org/tlog-cosignature).

Invariants:
- A cosigner signs twice, Ed25519 (0x04) and ML-DSA-44 (0x06), each with a key of its own, and always states the time.
- Lines of unknown keys are ignored; a line under a known key's name and id must verify, or the note is refused.
- Merging keeps one line for a key, the newest, behind the log's own lines; nothing unverified is merged.
- Seeds leave this module through nothing; a cosigner shows its name only.
"""

from collections.abc import Iterable, Sequence

from domain.errors import MalformedError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import MAX_TREE_SIZE
from domain.transparency.note import Note, NoteSignature, SignatureType, VerifierKey, parse_note
from domain.transparency.tlog_policy import Quorum, TlogPolicy
from infrastructure.tlog.signing import TwoKeys, subtree_message, verify_checkpoint_signature

_TIME_BYTES = 8


class Cosigner(TwoKeys):
    """Cosigns checkpoints under one name, after the caller found them consistent with all that it cosigned before."""

    ED25519 = SignatureType.ED25519_COSIGNATURE

    __slots__ = ()

    def cosign(self, text: bytes, at_unix_s: int) -> tuple[NoteSignature, ...]:
        """Return the cosignatures over a checkpoint's text, Ed25519 first.

        The Ed25519 one covers extension lines without saying anything of them; the ML-DSA-44 one leaves them out.

        Args:
            text: a checkpoint's note text.
            at_unix_s: POSIX time in seconds, above 0: the text is of the largest tree seen at that time.

        Raises:
            MalformedError: when the text is no checkpoint, or the time is out of range.
        """
        checkpoint = Checkpoint.parse_extended(text)
        if not 0 < at_unix_s <= MAX_TREE_SIZE:
            raise MalformedError("a cosignature's time is from 1 to 2^63 - 1 seconds")
        time = at_unix_s.to_bytes(_TIME_BYTES)
        ed25519, mldsa44 = self._keys
        header = f"cosignature/v1\ntime {at_unix_s}\n".encode()
        subtree = subtree_message(self.name, time, checkpoint)
        return (
            NoteSignature(self.name, ed25519.key_id, time + self._ed25519.sign(header + text)),
            NoteSignature(self.name, mldsa44.key_id, time + self._mldsa44.sign(subtree)),
        )


def print_lines(lines: Sequence[NoteSignature]) -> bytes:
    """Return signature lines by themselves, as a witness answers (tlog-witness, add-checkpoint)."""
    return Note(b"\n", tuple(lines)).to_bytes().removeprefix(b"\n\n")


def parse_lines(data: bytes) -> tuple[NoteSignature, ...]:
    """Read one or more signature lines.

    Raises:
        MalformedError: when they are anything else.
    """
    note = parse_note(b"\n\n" + data)
    if note.text != b"\n":
        raise MalformedError("signature lines hold an empty line")
    return note.signatures


def cosignature_times(note: Note, checkpoint: Checkpoint, keys: Iterable[VerifierKey]) -> dict[VerifierKey, int]:
    """Verify all lines of these witness keys over the checkpoint that was parsed from the note.

    Returns:
        For each key that cosigned, the newest time that it states (POSIX seconds).

    Raises:
        VerificationError: when a line under a given key's name and id is wrong: such a note is malformed.
    """
    times: dict[VerifierKey, int] = {}
    for key in keys:
        for line in (line for line in note.signatures if line.by(key)):
            time = verify_checkpoint_signature(Note(note.text, (line,)), key, checkpoint)
            if time is None:
                raise VerificationError(f"{key.fingerprint} signs no time: it is no witness's key")
            times[key] = max(time, times.get(key, 0))
    return times


def verify_log_signatures(
    note: Note, checkpoint: Checkpoint, keys: Iterable[VerifierKey], *, every: bool
) -> tuple[VerifierKey, ...]:
    """Check the log's own signatures over the checkpoint that was parsed from the note.

    Args:
        note: the signed note.
        checkpoint: what was parsed from it.
        keys: keys that the reader trusts; those with another name than the origin are ignored.
        every: all of them must have signed, as our own logs do; else one is enough, as C2SP says.

    Returns:
        The keys that signed.

    Raises:
        VerificationError: when none, or not every one has signed, or a known key's signature is wrong.
    """
    own = [key for key in keys if key.name == checkpoint.origin]
    if not own:
        raise VerificationError(f"no key is known for {checkpoint.origin!a}")
    signers = tuple(key for key in own if any(line.by(key) for line in note.signatures))
    for key in signers:
        verify_checkpoint_signature(note, key, checkpoint)
    if not signers:
        raise VerificationError(f"no known key of {checkpoint.origin!a} has signed")
    if every and len(signers) < len(own):
        missing = next(key for key in own if key not in signers)
        raise VerificationError(f"signature stripped: {checkpoint.origin!a} also signs with {missing.fingerprint}")
    return signers


def evaluate(note: Note, checkpoint: Checkpoint, policy: TlogPolicy, *, every_log_key: bool = False) -> Quorum:
    """Hold a checkpoint's signatures against a policy (tlog-policy); the caller asks the quorum's `require`.

    Raises:
        VerificationError: when the log's signature is missing or wrong, or a known witness's line is wrong.
    """
    verify_log_signatures(note, checkpoint, [log.key for log in policy.logs], every=every_log_key)
    return policy.evaluate(cosignature_times(note, checkpoint, [witness.key for witness in policy.witnesses]))


def merge_cosignatures(
    note: Note, lines: Iterable[NoteSignature], keys: Iterable[VerifierKey]
) -> tuple[Note, dict[VerifierKey, int]]:
    """Add a witness's lines to a checkpoint's note.

    Args:
        note: the checkpoint with the log's own lines, and perhaps older cosignatures.
        lines: what the witness answered; lines of unknown keys are ignored.
        keys: the witness's keys.

    Returns:
        The note with one line, the newest, for each of these keys that has one; and the times of the new lines.

    Raises:
        VerificationError: when a line of these keys is wrong, in the note or among the new ones.
    """
    checkpoint = Checkpoint.parse_extended(note.text)
    known = list(keys)
    offered = [line for line in lines if any(line.by(key) for key in known)]
    if not offered:
        return note, {}
    fresh = cosignature_times(Note(note.text, tuple(offered)), checkpoint, known)
    times = cosignature_times(note, checkpoint, known)
    for key in [key for key, time in fresh.items() if time >= times.get(key, 0)]:
        newest = max((line for line in offered if line.by(key)), key=lambda line: line.signature[:_TIME_BYTES])
        note = Note(note.text, (*(line for line in note.signatures if not line.by(key)), newest))
    return note, fresh
