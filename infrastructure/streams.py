"""Streams as this process has read them: an event never changes, so only what came since is asked for.

Invariants:
- A read asks the database what a stream holds beyond what is known; several streams are one question, answered as they
  stood at one instant. Who asks for what is known is given that, unasked: it may be old, so a decision on it is stored
  only with guards on all that it rests on, and nothing is refused for it.
- What this process appends itself is known when it is stored.
- What is known of a log is let go of when its keys change, and of every log when a connection is new, before anything
  is read or written over it: a backup may have been restored meanwhile, and that closes every connection.
- Memory is bounded in events, and in folds; a stream that is longer than a part of that is read anew each time.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from domain.errors import UnavailableError, VerificationError
from domain.message import Recorded
from infrastructure.postgres.arrays import BigintArray, UuidArray, bigints, uuids
from infrastructure.postgres.reading import Reader
from infrastructure.postgres.records import LoggedEvent

StreamKey = tuple[UUID, UUID]
"""Log and stream."""

_MOST_EVENTS = 65_536
_LONGEST = 1024
_ATTEMPTS = 16
_MOST_FOLDED = 4096

T = TypeVar("T")


class Streams:
    """Reads of streams.

    Args:
        reader: of the database.
        opened: opens a stored event.
    """

    def __init__(self, reader: Reader, opened: Callable[[LoggedEvent], Recorded]) -> None:
        self._reader = reader
        self._opened = opened
        self._known: OrderedDict[StreamKey, tuple[Recorded, ...]] = OrderedDict()
        self._folded: OrderedDict[tuple[UUID, UUID, object], tuple[tuple[int, bytes], Any]] = OrderedDict()
        self._events = self._epoch = 0
        self._lock = threading.Lock()

    def folded(self, stream: tuple[Recorded, ...], fold: Callable[[Sequence[Recorded]], T]) -> T:
        """Return what a stream folds to; one that was folded so before, and has not grown, is not folded again.

        Args:
            stream: as `read` returned it.
            fold: a function that is always the same one; what it raises is not remembered.
        """
        if not stream:
            return fold(stream)
        key = stream[0].log_id, stream[0].stream_id, fold
        end = len(stream), stream[-1].leaf_hash
        with self._lock:
            epoch, known = self._epoch, self._folded.get(key)
        if known is not None and known[0] == end:
            found: T = known[1]
            return found
        found = fold(stream)
        with self._lock:
            if epoch == self._epoch:
                self._folded[key] = end, found
            if len(self._folded) > _MOST_FOLDED:
                self._folded.popitem(last=False)
        return found

    def read(self, wanted: Sequence[StreamKey], *, known: bool = False) -> list[tuple[Recorded, ...]]:
        """Return streams, each with its events in order. With `known`: as they are known, where anything is.

        Raises:
            VerificationError: when an event is not what its columns say, or one is missing.
            UnavailableError: when what is known is let go of again and again meanwhile.
        """
        if not wanted:
            return []
        if known:
            with self._lock:
                held = [self._known.get(key) for key in wanted]
                for key, stream in zip(wanted, held, strict=True):
                    if stream is not None:
                        self._known.move_to_end(key)
            missing = iter(self.read([key for key, stream in zip(wanted, held, strict=True) if stream is None]))
            return [next(missing) if stream is None else stream for stream in held]
        for _ in range(_ATTEMPTS):
            found = self._read(dict.fromkeys(wanted))
            if found is not None:
                return [found[key] for key in wanted]
        raise UnavailableError("what was read keeps changing: try again")

    def _read(self, wanted: Iterable[StreamKey]) -> dict[StreamKey, tuple[Recorded, ...]] | None:
        """Read streams on from what is known; None where that was let go of meanwhile: it counts for nothing."""
        with self._lock:
            epoch, known = self._epoch, {key: self._known.get(key, ()) for key in wanted}
            for key, stream in known.items():
                if stream:
                    self._known.move_to_end(key)
        tails: dict[StreamKey, list[Recorded]] = {}
        for log_id, stream_id, version, topic, state, leaf_index in self._reader.fetch("tails", **_columns(known)):
            event = LoggedEvent(stream_id, version, topic, bytes(state), log_id)
            recorded = self._opened(event)._replace(leaf_index=leaf_index)
            tails.setdefault((log_id, stream_id), []).append(recorded)
        with self._lock:
            if epoch != self._epoch:
                return None
            for key, tail in tails.items():
                known[key] = self._kept(key, (*known[key], *tail))
        return known

    @property
    def epoch(self) -> int:
        """Return how often something was let go of."""
        return self._epoch

    def follow(self, stored: Iterable[Recorded], epoch: int) -> bool:
        """Go on with events that this process has stored, where what comes before them is known, or nothing does.

        Returns:
            Whether nothing was let go of since `epoch`, when they were sealed; else they are not taken up.
        """
        with self._lock:
            if epoch != self._epoch:
                return False
            for item in stored:
                key = item.log_id, item.stream_id
                stream = self._known.get(key, ())
                if item.version == len(stream):
                    self._kept(key, (*stream, item))
        return True

    def forget(self, log_id: UUID | None = None) -> None:
        """Let go of what is known of a log; None: of all."""
        with self._lock:
            self._epoch += 1  # who reads just now keeps nothing
            for key in [key for key in self._known if log_id in {None, key[0]}]:
                self._events -= len(self._known.pop(key))
            for of in [of for of in self._folded if log_id in {None, of[0]}]:
                del self._folded[of]

    def _kept(self, key: StreamKey, stream: tuple[Recorded, ...]) -> tuple[Recorded, ...]:
        if any(item.version != version for version, item in enumerate(stream)):
            raise VerificationError("an event of a stream is missing in the database")
        self._events -= len(self._known.pop(key, ()))
        if len(stream) <= _LONGEST:
            self._known[key] = stream
            self._events += len(stream)
        while self._events > _MOST_EVENTS:
            self._events -= len(self._known.popitem(last=False)[1])
        return stream


def _columns(known: dict[StreamKey, tuple[Recorded, ...]]) -> dict[str, UuidArray | BigintArray]:
    return {
        "log_ids": uuids([log_id for log_id, _ in known]),
        "stream_ids": uuids([stream_id for _, stream_id in known]),
        "after": bigints([len(stream) - 1 for stream in known.values()]),
    }
