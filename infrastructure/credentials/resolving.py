"""From a verification method to its key: did:key by itself, did:web through a fetcher that is handed in.

Invariants:
- Nothing here reaches a network: the fetcher is a port. The one that comes along reads a directory; without one every
  did:web is unreachable, and unreachable denies.
- A document is at most 64 KiB and is asked for again once it is older than the age given (60 s by default): a key that
  its owner took out counts no longer than that.
- Whatever is wrong with a document refuses; it is never used in part.
"""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from domain.errors import MalformedError, UnavailableError
from infrastructure.credentials.did_document import MAX_BYTES, DidDocument, read_did_document
from infrastructure.credentials.did_web import PREFIX, WebDid, parse_did_web
from infrastructure.keys import did_key

MAX_AGE_S: Final = 60.0
_MAX_DOCUMENTS = 256
_MAX_FILES = 1024


class Fetcher(Protocol):
    """Brings the document of a did:web."""

    def fetch(self, did: WebDid) -> bytes:
        """Return its bytes, at most MAX_BYTES + 1 of them.

        Raises:
            UnavailableError: when it can't be had.
        """
        ...


class DirectoryFetcher:
    """Reads documents from a directory: at the place that their URL has in a mirror, or in a file put there by hand.

    The place is `<host>[%3A<port>]/<path>/did.json`, or `<host>/did.json` for a bare host. It is what makes a document
    the DID's: one that lies below another host is never looked at [who writes there would be everybody]. Files that lie
    in the directory itself (*.json) were put there by its owner, and count for the DID that they name.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def fetch(self, did: WebDid) -> bytes:
        """Return a document's bytes."""
        for path in self._places(did):
            try:
                return _read(path)
            except OSError:
                continue
        for path in self._by_hand():
            try:
                data = _read(path)
                read_did_document(data, did.did)
            except (OSError, MalformedError):
                continue
            return data
        raise UnavailableError(f"no document of {did.did} in the directory of DID documents")

    def _places(self, did: WebDid) -> Iterator[Path]:
        for authority in dict.fromkeys((did.authority.replace(":", "%3A"), did.authority)):
            yield self._directory / authority / did.path
            if not did.segments:
                yield self._directory / authority / "did.json"

    def _by_hand(self) -> list[Path]:
        return sorted(islice(self._directory.glob("*.json"), _MAX_FILES))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


class NoFetcher:
    """Brings nothing: for those who accept did:key only."""

    def fetch(self, did: WebDid) -> bytes:
        """Refuse."""
        raise UnavailableError(f"nothing here fetches {did.url}")


class Resolver:
    """Gives the key of a verification method at an instant. May be shared by threads."""

    def __init__(
        self,
        fetcher: Fetcher | None = None,
        *,
        max_age_s: float = MAX_AGE_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetcher = fetcher or NoFetcher()
        self._max_age_s = max_age_s
        self._monotonic_s = monotonic_s
        self._documents: dict[str, tuple[float, DidDocument]] = {}
        self._lock = threading.Lock()

    def key(self, method: str, at_ms: int) -> bytes:
        """Return the Ed25519 public key of a verification method that may sign assertions at an instant (ms).

        Raises:
            MalformedError: when the method or its document are not what their formats say.
            NotAuthorisedError: when the document doesn't let the key sign.
            UnavailableError: when the document can't be had.
        """
        if method.startswith("did:key:"):
            return did_key.resolve(method)
        did, separator, _ = method.partition("#")
        if not did.startswith(PREFIX) or not separator:
            raise MalformedError("a verification method is neither did:key nor did:web with a fragment")
        return self._document(did).assertion_key(method, at_ms)

    def at(self, at_ms: int) -> Callable[[str], bytes]:
        """Return `key` at one instant."""
        return lambda method: self.key(method, at_ms)

    def _document(self, did: str) -> DidDocument:
        web, now_s = parse_did_web(did), self._monotonic_s()
        with self._lock:
            known = self._documents.get(did)
        if known is not None and now_s - known[0] < self._max_age_s:
            return known[1]
        document = read_did_document(self._fetcher.fetch(web), did)
        with self._lock:
            if len(self._documents) >= _MAX_DOCUMENTS:
                del self._documents[min(self._documents, key=lambda one: self._documents[one][0])]
            self._documents[did] = (now_s, document)
        return document
