"""Asks a witness to cosign (c2sp.org/tlog-witness, add-checkpoint). The log's floor is written before this is called.

Invariants:
- Nothing that a witness answers is believed before it verifies: a cosignature under the configured keys over exactly
  our text, or it counts for nothing.
- Checkpoints of one log are submitted in order, by its one signer [a late one would find the witness ahead].
- A 409 is followed once, from the size that it tells. A larger size than ours is an error of its own: the caller
  freezes the log.
- A request ends by a deadline, however slowly a witness drips; its answer is bounded; redirects are not followed.
"""

import http.client
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from domain.errors import MalformedError, RefusedError, UnavailableError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, SignatureType, VerifierKey
from infrastructure.cutoff import Cutoff
from infrastructure.tlog.cosigning import merge_cosignatures, parse_lines
from infrastructure.witness.request import AddCheckpoint
from infrastructure.witness.witness import BAD_REQUEST, CONFLICT, FORBIDDEN, NOT_FOUND, OK, SIZE, UNPROCESSABLE

MAX_ANSWER_BYTES = 128 << 10
DEFAULT_TIMEOUT_S = 10.0

Prove = Callable[[int, int], Sequence[bytes]]
"""`prove(old_size, new_size)`: the consistency proof of our log between two sizes (32-byte hashes)."""

_SIZE_LINE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_PRINTABLE = re.compile(r"[!-~]+", re.ASCII)
_REFUSALS = {
    BAD_REQUEST: "calls the request malformed",
    FORBIDDEN: "does not trust the log's key",
    NOT_FOUND: "does not know the log",
}


class WitnessAheadError(VerificationError):
    """A witness says that it cosigned a larger tree of our log than we have: freeze the log and find out why.

    Either this log was rolled back (a restored backup, a second signer), or the witness lies.
    """

    def __init__(self, witness: str, size: int, our_size: int) -> None:
        super().__init__(f"witness {witness!a} knows size {size} of this log, which has {our_size}: freeze it")
        self.witness = witness
        self.size = size
        self.our_size = our_size


class WitnessDisagreesError(VerificationError):
    """A witness finds our checkpoint inconsistent with one that it cosigned: our log forked, or the witness lies."""

    def __init__(self, witness: str, size: int) -> None:
        super().__init__(f"witness {witness!a} says that this log's tree does not extend the one it saw at size {size}")
        self.witness = witness
        self.size = size


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The checkpoint's note with the witness's lines, and the time (POSIX seconds) that each key states."""

    note: Note
    times: dict[VerifierKey, int]


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    content_type: str
    body: bytes


class WitnessClient:
    """Asks one witness. Holds no connection and no state: rounds are far apart.

    Args:
        url: the submission prefix, http or https.
        keys: the witness's verifier keys.
        timeout_s: bound of one request from its start to the last byte of its answer, in seconds.

    Raises:
        MalformedError: when the URL or the keys can't be a witness's.
    """

    def __init__(self, url: str, keys: Sequence[VerifierKey], *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError:
            raise MalformedError("a witness's URL is malformed") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or not _PRINTABLE.fullmatch(url):
            raise MalformedError("a witness's URL begins with http:// or https:// and a host")
        if parts.username is not None or parts.query or parts.fragment:
            raise MalformedError("a witness's URL has no user, query or fragment")
        if not keys or any(key.type is SignatureType.ED25519 for key in keys):
            raise MalformedError("a witness has at least one key, of a cosignature type")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._path = parts.path.rstrip("/") + "/add-checkpoint"
        self._keys = tuple(keys)
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """Return the witness's name, as its first key has it."""
        return self._keys[0].name

    def add_checkpoint(self, note: Note, old_size: int, prove: Prove) -> Cosigned:
        """Have a checkpoint cosigned.

        Args:
            note: our signed checkpoint, three lines; earlier cosignatures on it are kept.
            old_size: the size that the witness cosigned last, as far as we know; 0 if we don't.
            prove: gives consistency proofs of our log.

        Raises:
            WitnessAheadError: when the witness knows a larger size than ours: freeze.
            WitnessDisagreesError: when it finds our tree inconsistent with what it saw.
            VerificationError: when it answers what no honest witness would.
            RefusedError: when it does not know our log or key: a matter of configuration.
            UnavailableError: when it can't be reached, is too slow, or is out of order. Repeating is safe.
        """
        checkpoint = Checkpoint.parse(note.text)
        reply, asked = self._ask(note, checkpoint, min(old_size, checkpoint.size), prove)
        if reply.status == CONFLICT:
            told = self._told_size(reply, checkpoint)
            if told == asked:
                raise VerificationError(f"witness {self.name!a} asks for the size that it was given")
            reply, asked = self._ask(note, checkpoint, told, prove)
        if reply.status == CONFLICT:
            self._told_size(reply, checkpoint)  # a larger size than ours still freezes
            raise UnavailableError(f"witness {self.name!a} moved on meanwhile")
        if reply.status == UNPROCESSABLE:
            raise WitnessDisagreesError(self.name, asked)
        if reply.status in _REFUSALS:
            raise RefusedError(f"witness {self.name!a} {_REFUSALS[reply.status]} ({reply.status})")
        if reply.status != OK:
            raise UnavailableError(f"witness {self.name!a} answered {reply.status}")
        return self._cosigned(note, reply.body)

    def _ask(self, note: Note, checkpoint: Checkpoint, old_size: int, prove: Prove) -> tuple[_Reply, int]:
        proof = tuple(prove(old_size, checkpoint.size)) if 0 < old_size < checkpoint.size else ()
        own_lines = tuple(line for line in note.signatures if line.name == checkpoint.origin)
        if not own_lines:
            raise MalformedError("the checkpoint has no signature of its log")
        return self._post(AddCheckpoint(old_size, proof, Note(note.text, own_lines)).to_bytes()), old_size

    def _told_size(self, reply: _Reply, checkpoint: Checkpoint) -> int:
        found = _SIZE_LINE.fullmatch(reply.body)
        if reply.content_type != SIZE or found is None:
            raise VerificationError(f"witness {self.name!a} answered 409 without a size")
        size = int(found.group(1))
        if size > checkpoint.size:
            raise WitnessAheadError(self.name, size, checkpoint.size)
        return size

    def _cosigned(self, note: Note, body: bytes) -> Cosigned:
        try:
            merged, times = merge_cosignatures(note, parse_lines(body), self._keys)
        except (MalformedError, VerificationError) as error:
            raise VerificationError(f"witness {self.name!a} answered no cosignature of ours: {error}") from None
        if not times:
            raise VerificationError(f"witness {self.name!a} answered without a line of its own keys")
        if not all(times.values()):
            raise VerificationError(f"witness {self.name!a} left out the time")
        return Cosigned(merged, times)

    def _post(self, body: bytes) -> _Reply:
        connection = self._connection()
        with Cutoff(self._timeout_s) as deadline:
            try:
                return self._exchange(connection, body, deadline)
            except (OSError, http.client.HTTPException) as error:
                slow = deadline.passed or isinstance(error, TimeoutError)
                why = "too slow" if slow else type(error).__name__
                raise UnavailableError(f"witness {self.name!a} does not answer: {why}") from None
            finally:
                connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout_s)

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes, deadline: Cutoff) -> _Reply:
        connection.connect()
        deadline.cuts(connection.sock)
        connection.request("POST", self._path, body, {"Content-Type": "text/plain; charset=utf-8"})
        response = connection.getresponse()
        data = response.read(MAX_ANSWER_BYTES + 1)
        if len(data) > MAX_ANSWER_BYTES:
            raise VerificationError(f"witness {self.name!a} answers more than {MAX_ANSWER_BYTES} bytes")
        if deadline.passed:  # what was cut can look whole where no length is stated
            raise TimeoutError
        if response.length:  # the connection ended before the stated length
            raise UnavailableError(f"witness {self.name!a} broke off its answer")
        return _Reply(response.status, response.headers.get("Content-Type", ""), data)
