"""How often one may ask, a token bucket for each name; and how much one may hold at once, a share of what there is.

Invariants:
- Memory is bounded: beyond so many names the one that has asked least recently is forgotten; of who holds something
  there are no more than there is to hold.
- No name holds more than its share, whatever is free: what a stranger or one token's holder can take leaves room for
  all others.
"""

import math
import resource
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

MOST_CONNECTIONS: Final = 2_048
"""Open at once, idle ones included, where the process may open as many files."""
CONNECTION_SHARES: Final = 2
"""As SHARES, for an address and its connections: many nodes may come from one."""
SHARES: Final = 4
"""Into so many parts is divided what can be held at once: one name holds one part at most."""
_MOST_NAMES: Final = 10_000
_OTHER_FILES: Final = 256
"""What the process opens besides: the database, keys, tiles."""
_FEWEST_CONNECTIONS: Final = 64


@dataclass(frozen=True, slots=True)
class Allowed:
    """How many requests a second, on average, one process takes.

    Attributes:
        of_one_per_s: of one node, tenant or scope; twice as many at once.
        of_strangers_per_s: from one address without a token; ten times as many at once.
    """

    of_one_per_s: float = 2_000.0
    of_strangers_per_s: float = 20.0


class Rate:
    """So many a second for each name, with bursts. Safe to call from several threads.

    Args:
        per_s: asked on average.
        burst: at once.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, now_s: float, cost: float = 1.0) -> int:
        """Take from a name's bucket; return 0, or after how many seconds to ask again, when nothing was taken.

        Args:
            name: who asks.
            now_s: a clock that never steps back.
            cost: how much is taken.
        """
        with self._lock:
            left, at_s = self._left.pop(name, (self._burst, now_s))
            left = min(self._burst, left + (now_s - at_s) * self._per_s)
            short = min(cost, self._burst) - left
            self._left[name] = (left if short > 0 else left - cost, now_s)
            if len(self._left) > _MOST_NAMES:
                self._left.popitem(last=False)
        return math.ceil(short / self._per_s) if short > 0 else 0


class Places:
    """So many at once, of which each name has a share. Of one thread: the event loop's.

    Args:
        most: all together.
        share: of one name; None: one of SHARES equal parts.

    Attributes:
        most: all together.
        share: of one name.
        taken: how many are.
    """

    def __init__(self, most: int, share: int | None = None) -> None:
        self.most = most
        self.share = most // SHARES if share is None else share
        self._held: dict[str, int] = {}
        self.taken = 0

    def enter(self, name: str, count: int = 1, *, whole: bool = False) -> bool:
        """Take so many for a name, or none; tell whether they were taken.

        Args:
            name: who takes them. `leave` names it again.
            count: how many.
            whole: the name has no share: it stands for many.
        """
        held = self._held.get(name, 0) + count
        if self.taken + count > self.most or (held > self.share and not whole):
            return False
        if count:
            self.taken += count
            self._held[name] = held
        return True

    def leave(self, name: str, count: int = 1) -> None:
        """Give back what `enter` took."""
        left = self._held.get(name, 0) - count
        self.taken -= count
        if left > 0:
            self._held[name] = left
        else:
            self._held.pop(name, None)


def connections() -> Places:
    """Return the places of connections: as many as this process may open files for, which it sees to."""
    wanted = MOST_CONNECTIONS + _OTHER_FILES
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < wanted:
        more = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, most))
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fits = MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files - _OTHER_FILES)
    fits = max(_FEWEST_CONNECTIONS, fits)
    return Places(fits, fits // CONNECTION_SHARES)
