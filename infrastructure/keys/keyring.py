"""The file keyring, the port's default: one sealed file per log, under a machine key or a passphrase.

Invariants:
- Directory 0700, files 0600, every write atomic and durable, writers of several processes one after the other.
- `put` never drops or changes a key that is there [a lost K makes history unreadable].
- One file per log: destroying its keys touches no other. A file that is replaced is zeroed, so of a key that was
  destroyed no version lies about.
- Missing, wrong key and damaged are three different errors; none holds a secret.
"""

import hmac
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

from domain.canonical import canonical, parse_canonical
from domain.errors import (
    ConflictError,
    MalformedError,
    NotAuthorisedError,
    RefusedError,
    UnknownError,
    VerificationError,
)
from infrastructure.entropy import Entropy
from infrastructure.keys.log_keys import LogKeys, LogKind, PlatformSecrets, create_log_keys
from infrastructure.keys.marks import Marks
from infrastructure.keys.private_files import (
    locked,
    make_private_directory,
    read_private,
    read_replaced,
    replace_private,
    write_private,
)
from infrastructure.keys.wrapping import KEY_BYTES, SALT_BYTES, WrappingKey

__all__ = ["Keyring", "LogKeys", "LogKind", "PlatformSecrets", "create_log_keys"]

_FORMAT = "ledger-keyring/v1"
_SETTINGS = "keyring.json"
_MACHINE_KEY = "machine.key"
_PLATFORM = "platform.secrets"
_SUFFIX = ".keys"


class Keyring:
    """The keys of all logs of one data directory. Make one with `Keyring.open`."""

    def __init__(self, directory: Path, wrapping: WrappingKey, entropy: Entropy) -> None:
        self._directory = directory
        self._wrapping = wrapping
        self._entropy = entropy
        self._marks = Marks(str(directory))

    @classmethod
    def open(
        cls, directory: Path, entropy: Entropy, *, passphrase: str | None = None, machine_key: Path | None = None
    ) -> "Keyring":
        """Open a keyring, or make one where there is none.

        Args:
            directory: where its files are.
            entropy: where keys and IVs come from.
            passphrase: what wraps the keys; without one, a machine key does.
            machine_key: file of the machine key (default: inside the directory; elsewhere protects copies of it).

        Raises:
            NotAuthorisedError: when the passphrase or machine key is not this keyring's.
            RefusedError: when files can be read by others, or can't be written.
            MalformedError: when its settings are damaged, or missing beside keys.
        """
        make_private_directory(directory)
        key_file = machine_key or directory / _MACHINE_KEY
        with locked(directory / "lock"):
            settings = directory / _SETTINGS
            if settings.exists():
                return cls(directory, _unlock(read_private(settings), passphrase, key_file), entropy)
            return cls(directory, _create(settings, passphrase, key_file, entropy), entropy)

    def put(self, keys: LogKeys) -> None:
        """Store a log's keys, new or with further generations. Repeating is safe.

        Raises:
            ConflictError: when keys that are stored would be lost or changed.
        """
        with self._locked():
            self._put(keys)

    def get(self, log_id: UUID) -> LogKeys:
        """Return a log's keys.

        Raises:
            UnknownError: when there are none.
            VerificationError: when its file is damaged.
        """
        try:
            return self._read(log_id)
        except VerificationError:  # a writer may be zeroing the bytes that were read: look when it is done
            with self._locked():
                return self._read(log_id)

    def mark(self, log_id: UUID) -> object:
        """Return a value that differs once a log's keys were changed, by any process; None where there are none."""
        return self._marks.of(_file_name(log_id))

    def create(self, log_id: UUID, kind: LogKind, *, own_custody: bool = False) -> LogKeys:
        """Draw and store the keys of a new log; returns those stored, if there are any.

        Args:
            log_id: of the log.
            kind: whose log it is.
            own_custody: the tenant itself holds what opens its inputs and outputs: no such key is made here.
        """
        with self._locked():
            if log_id not in self.log_ids():
                self._put(create_log_keys(log_id, self._entropy, kind, own_custody=own_custody))
        return self.get(log_id)

    def rotate_data_key(self, log_id: UUID) -> LogKeys:
        """Add the next generation of a log's data key and return all its keys. Raises as `get` does."""
        with self._locked():
            keys = self._read(log_id).with_next_generation(self._entropy)
            self._put(keys)
        return keys

    def rotate_signing_keys(self, log_id: UUID) -> LogKeys:
        """Add the next generation of a log's signing keys and return all its keys. Raises as `get` does."""
        with self._locked():
            keys = self._read(log_id).with_next_signing_keys(self._entropy)
            self._put(keys)
        return keys

    def log_ids(self) -> tuple[UUID, ...]:
        """Return the logs that have keys here, in order of id."""
        return tuple(sorted(UUID(path.name.removesuffix(_SUFFIX)) for path in self._directory.glob(f"*{_SUFFIX}")))

    def destroy(self, log_id: UUID) -> LogKeys:
        """Zero a tenant's data, attestation, release and output keys; return what is left: what signs for the log.

        A crash leaves all keys, or the new file beside the zeroed old one; repeating brings it to its end.

        Raises:
            UnknownError: when there are none.
            RefusedError: when the log is no tenant's.
        """
        with self._locked():
            keys = self._read(log_id)
            if keys.kind is not LogKind.TENANT:
                raise RefusedError(f"only a tenant's keys are ever destroyed, not those of the {keys.kind} log")
            left = keys.without_data_keys()
            self._write(left)
        return left

    def platform_secrets(self) -> PlatformSecrets:
        """Return the platform's secrets; draws them at the first call."""
        path = self._directory / _PLATFORM
        with self._locked():
            if not path.exists():
                secrets = PlatformSecrets(anchor=self._entropy.bytes(KEY_BYTES), cell=self._entropy.bytes(KEY_BYTES))
                write_private(path, self._wrapping.wrap(_PLATFORM, secrets.to_bytes(), self._entropy), new=True)
            return PlatformSecrets.from_bytes(self._wrapping.unwrap(_PLATFORM, read_private(path)))

    def has_platform_secrets(self) -> bool:
        """Tell whether the platform's secrets were drawn."""
        return (self._directory / _PLATFORM).exists()

    def _put(self, keys: LogKeys) -> None:
        if (self._directory / _file_name(keys.log_id)).exists() and not keys.extends(self._read(keys.log_id)):
            raise ConflictError(f"the keyring holds other keys of the log {keys.log_id}")
        self._write(keys)

    def _write(self, keys: LogKeys) -> None:
        name = _file_name(keys.log_id)
        path, data = self._directory / name, self._wrapping.wrap(name, keys.to_bytes(), self._entropy)
        try:
            if path.exists():
                replace_private(path, data)
            else:
                write_private(path, data)
        finally:
            self._marks.forget()

    def _read(self, log_id: UUID) -> LogKeys:
        name = _file_name(log_id)
        try:
            data = read_replaced(self._directory / name)
        except UnknownError:
            raise UnknownError(
                f"the keyring holds no keys of the log {log_id}; restore {name} from your own copy"
            ) from None
        keys = LogKeys.from_bytes(self._wrapping.unwrap(name, data))
        if keys.log_id != log_id:
            raise MalformedError(f"{name} holds another log's keys")
        return keys

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._directory / "lock")

    def __repr__(self) -> str:
        return f"Keyring({str(self._directory)!r})"


def _file_name(log_id: UUID) -> str:
    return f"{log_id}{_SUFFIX}"


def _create(settings: Path, passphrase: str | None, key_file: Path, entropy: Entropy) -> WrappingKey:
    if any(settings.parent.glob(f"*{_SUFFIX}")):  # a new salt would make them look damaged
        raise MalformedError(f"{settings} is missing beside keys that need it; restore it from your own copy")
    salt = entropy.bytes(SALT_BYTES)
    if passphrase is None:
        if not key_file.exists():  # a crash below leaves a machine key that the next try takes up
            write_private(key_file, entropy.bytes(KEY_BYTES).hex().encode(), new=True)
        wrapping = _machine_key(key_file)
    else:
        wrapping = WrappingKey.from_passphrase(passphrase, salt)
    content = {
        "check": wrapping.check_value().hex(),
        "format": _FORMAT,
        "salt": salt.hex(),
        "wrapped_by": "machine" if passphrase is None else "scrypt",
    }
    write_private(settings, canonical(content), new=True)
    return wrapping


def _unlock(data: bytes, passphrase: str | None, key_file: Path) -> WrappingKey:
    check, salt, wrapped_by = _read_settings(data)
    if wrapped_by == "scrypt":
        if passphrase is None:
            raise NotAuthorisedError("the keyring needs its passphrase")
        wrapping, what = WrappingKey.from_passphrase(passphrase, salt), "passphrase"
    else:
        if passphrase is not None:
            raise NotAuthorisedError("the keyring is wrapped by a machine key, not by a passphrase")
        wrapping, what = _machine_key(key_file), "machine key"
    if not hmac.compare_digest(wrapping.check_value(), check):
        raise NotAuthorisedError(f"the {what} is not this keyring's")
    return wrapping


def _read_settings(data: bytes) -> tuple[bytes, bytes, str]:
    try:
        content = parse_canonical(data)
        check, salt, wrapped_by = bytes.fromhex(content["check"]), bytes.fromhex(content["salt"]), content["wrapped_by"]
    except (KeyError, ValueError, TypeError, MalformedError):
        raise MalformedError(f"{_SETTINGS} of the keyring is damaged; restore it from your own copy") from None
    if content.get("format") != _FORMAT or wrapped_by not in ("machine", "scrypt"):
        raise MalformedError(f"{_SETTINGS} is of a format that this version doesn't know")
    return check, salt, wrapped_by


def _machine_key(path: Path) -> WrappingKey:
    try:
        return WrappingKey(bytes.fromhex(read_private(path).decode("ascii")))
    except ValueError:
        raise MalformedError(f"{path} is not a machine key; restore it from your own copy") from None
