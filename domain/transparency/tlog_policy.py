"""Which logs and which quorum of witnesses a verifier trusts (c2sp.org/tlog-policy).

Invariants:
- Each name is defined once and before its use, and is a member of at most one group: a witness counts in one way only.
- No two logs and no two witnesses share a public key, whatever their names and types; nor does a witness with a log
  [a log that witnesses itself].
- A file is octets: names and URLs are opaque, kept as text in which an octet that isn't UTF-8 is a lone surrogate.
- `parse_policy(policy.to_bytes())` is the policy; comments and spacing are not kept.
- Nothing here checks a signature: times come from cosignatures that the caller verified.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.errors import MalformedError, VerificationError
from domain.transparency.checkpoint import parse_decimal
from domain.transparency.note import SignatureType, VerifierKey

NO_QUORUM = "none"
MAX_POLICY_BYTES = 1 << 20
MAX_DEFINITIONS = 1000
"""How many logs, witnesses and groups a policy may define together (at least 32 of each must be supported)."""

_LOG_TYPES = (SignatureType.ED25519, SignatureType.ML_DSA_44)
_WITNESS_TYPES = (SignatureType.ED25519_COSIGNATURE, SignatureType.ML_DSA_44)
_TAB, _NEWLINE, _SPACE, _DELETE = 0x09, 0x0A, 0x20, 0x7F


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log that is accepted: a key whose name is the log's origin, and a URL if one is given."""

    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness: its name within the policy, its key, and its submission prefix if one is given."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyGroup:
    """A group that witnesses a checkpoint when at least `threshold` of its members do."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quorum:
    """What the cosignatures of one checkpoint come to.

    `newest_unix_s` is the newest time at or after which a quorum cosigned (POSIX seconds); None without a quorum, and
    where the policy asks for none.
    """

    reached: bool
    newest_unix_s: int | None
    cosigned_by: tuple[str, ...]

    def require(self, *, now_unix_s: int | None = None, max_age_s: int | None = None) -> None:
        """Refuse a checkpoint that no quorum cosigned, or none recently enough.

        Raises:
            VerificationError: naming which.
        """
        if not self.reached:
            by = ", ".join(map(ascii, self.cosigned_by)) or "nobody"
            raise VerificationError(f"no quorum of witnesses: cosigned by {by}")
        if max_age_s is not None and now_unix_s is not None:
            if self.newest_unix_s is None:
                raise VerificationError("a greatest age is asked for, and the policy has no witness to tell the time")
            if now_unix_s - self.newest_unix_s > max_age_s:
                age = now_unix_s - self.newest_unix_s
                raise VerificationError(f"a quorum last cosigned {age} s ago, more than {max_age_s} s")


@dataclass(frozen=True, slots=True)
class TlogPolicy:
    """Logs, witnesses and groups in the order of their definition, and the quorum's name (or `none`).

    Raises:
        MalformedError: when a rule of tlog-policy is broken, naming which.
    """

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    groups: tuple[PolicyGroup, ...]
    quorum: str

    def __post_init__(self) -> None:
        if len(self.logs) + len(self.witnesses) + len(self.groups) > MAX_DEFINITIONS:
            raise MalformedError(f"a policy defines at most {MAX_DEFINITIONS} logs, witnesses and groups")
        _check_keys([log.key for log in self.logs], _LOG_TYPES, "log")
        _check_keys([witness.key for witness in self.witnesses], _WITNESS_TYPES, "witness")
        if {log.key.public_key for log in self.logs} & {witness.key.public_key for witness in self.witnesses}:
            raise MalformedError("a witness has the public key of a log")
        defined = self._check_names()
        if self.quorum != NO_QUORUM and self.quorum not in defined:
            raise MalformedError(f"the quorum {self.quorum!a} is not defined")
        for url in [*(log.url for log in self.logs), *(witness.url for witness in self.witnesses)]:
            if url is not None:
                _check_word(url)

    def evaluate(self, times: Mapping[VerifierKey, int]) -> Quorum:
        """Tell whether witnesses with verified cosignatures at these times (POSIX seconds) make the quorum.

        A group's time is the k-th newest of its members': from then on k of them had cosigned.
        """
        by = tuple(witness.name for witness in self.witnesses if witness.key in times)
        if self.quorum == NO_QUORUM:
            return Quorum(reached=True, newest_unix_s=None, cosigned_by=by)
        reached = {witness.name: times[witness.key] for witness in self.witnesses if witness.key in times}
        for group in self.groups:  # members are defined before their group, so one pass settles all
            known = sorted((reached[name] for name in group.members if name in reached), reverse=True)
            if len(known) >= group.threshold:
                reached[group.name] = known[group.threshold - 1]
        newest = reached.get(self.quorum)
        return Quorum(reached=newest is not None, newest_unix_s=newest, cosigned_by=by)

    def log_keys(self, origin: str) -> tuple[VerifierKey, ...]:
        """Return the keys of the log with this origin, in their order."""
        return tuple(log.key for log in self.logs if log.key.name == origin)

    def to_bytes(self) -> bytes:
        """Return the policy file: logs, witnesses, groups, quorum, one a line."""
        lines = [_line("log", str(log.key), log.url) for log in self.logs]
        lines += [_line("witness", witness.name, str(witness.key), witness.url) for witness in self.witnesses]
        lines += [_line("group", group.name, str(group.threshold), *group.members) for group in self.groups]
        return "".join([*lines, _line("quorum", self.quorum)]).encode("utf-8", "surrogateescape")

    def _check_names(self) -> set[str]:
        defined: set[str] = {NO_QUORUM}
        for witness in self.witnesses:
            _define(witness.name, defined)
        used: set[str] = {NO_QUORUM}
        for group in self.groups:
            if not 1 <= group.threshold <= len(group.members):
                raise MalformedError(f"group {group.name!a} needs {group.threshold} of {len(group.members)} members")
            for member in group.members:
                if member not in defined or member in used:
                    raise MalformedError(f"member {member!a} is not defined before its group, or is a member already")
                used.add(member)
            _define(group.name, defined)
        return defined


def parse_policy(data: bytes) -> TlogPolicy:
    """Read a policy file (tlog-policy, Policy file syntax and structure).

    Raises:
        MalformedError: naming the line that breaks the format, or the rule that the whole breaks.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise MalformedError(f"a policy of {len(data)} bytes is over the limit of {MAX_POLICY_BYTES}")
    if not data.endswith(b"\n") or any(byte < _SPACE and byte not in (_TAB, _NEWLINE) for byte in data):
        raise MalformedError("a policy ends in a newline and holds no control character but tab and newline")
    if _DELETE in data:
        raise MalformedError("a policy holds no control character but tab and newline")
    reader = _Reader()
    for number, line in enumerate(data[:-1].split(b"\n"), 1):
        words = [word.decode("utf-8", "surrogateescape") for word in line.split()]
        if words and not words[0].startswith("#"):
            try:
                reader.take(words)
            except MalformedError as error:
                raise MalformedError(f"line {number}: {error}") from None
    return reader.policy()


class _Reader:
    """Takes one line after the other; checks what depends on the order of lines of different kinds."""

    def __init__(self) -> None:
        self._logs: list[PolicyLog] = []
        self._witnesses: list[PolicyWitness] = []
        self._groups: list[PolicyGroup] = []
        self._names: set[str] = {NO_QUORUM}
        self._quorum: str | None = None

    def take(self, words: list[str]) -> None:
        match words:
            case ["log", key, *url] if len(url) <= 1:
                self._logs.append(PolicyLog(VerifierKey.parse(key), *url))
            case ["witness", name, key, *url] if len(url) <= 1:
                self._witnesses.append(PolicyWitness(_define(name, self._names), VerifierKey.parse(key), *url))
            case ["group", name, threshold, *members] if members:
                self._require(members)
                group = PolicyGroup(_define(name, self._names), _threshold(threshold, len(members)), tuple(members))
                self._groups.append(group)
            case ["quorum", name] if self._quorum is None:
                self._require([name])
                self._quorum = name
            case _:
                raise MalformedError("not a log, witness or group line, nor the one quorum line")

    def policy(self) -> TlogPolicy:
        if self._quorum is None:
            raise MalformedError("a policy has exactly one quorum line")
        return TlogPolicy(tuple(self._logs), tuple(self._witnesses), tuple(self._groups), self._quorum)

    def _require(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._names:
                raise MalformedError(f"{name!a} is not defined on a line before")


def _threshold(text: str, members: int) -> int:
    return {"any": 1, "all": members}[text] if text in ("any", "all") else parse_decimal(text)


def _define(name: str, defined: set[str]) -> str:
    if name in defined:
        raise MalformedError(f"the name {name!a} is defined twice, or is `none`")
    _check_word(name)
    defined.add(name)
    return name


def _check_word(text: str) -> None:
    """Refuse a name or URL that would not read back as one word."""
    try:
        octets = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise MalformedError("a name or URL of a policy is not octets") from None
    if octets.decode("utf-8", "surrogateescape") != text:
        raise MalformedError("a name or URL of a policy has another spelling")
    if not octets or any(octet <= _SPACE or octet == _DELETE for octet in octets):
        raise MalformedError("a name or URL of a policy is empty, or holds a space or control character")


def _check_keys(keys: list[VerifierKey], types: tuple[SignatureType, ...], what: str) -> None:
    if any(key.type not in types for key in keys):
        raise MalformedError(f"a {what}'s key has a signature type that is not for a {what}")
    if len({key.public_key for key in keys}) != len(keys):
        raise MalformedError(f"two {what} lines have one public key")


def _line(*words: str | None) -> str:
    return " ".join(word for word in words if word is not None) + "\n"
