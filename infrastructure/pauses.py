"""Short pauses: how a process shares its interpreter among threads, and when it looks for garbage.

Measured at 2,000 to 4,000 single events a second, 64 and more callers waiting: a full collection held everybody up for
20 to 40 ms, several times a second as the heap grew; with the default switch interval the thread that commits waited up
to 5 ms for the interpreter after each answer of the database.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SWITCH_S = 0.0005
_YOUNG, _MIDDLE, _FULL = 700, 10, 100
"""The interpreter's own thresholds, but for full collections: every 700,000 objects that stay, not every 70,000."""
_SELDOM = 50_000, 20, 100


def shorten_pauses() -> None:
    """Set this process up. What is there now is never looked at again: it stays for the length of the process."""
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _FULL)


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Let the interpreter look for garbage seldom, for a large job whose objects hold no cycles.

    Usually that took a tenth of the time of an audit, and a quarter of a simulation of 50,000 workloads.
    """
    usual = gc.get_threshold()
    gc.freeze()
    collect_seldom()
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def collect_seldom() -> None:
    """Do the same for the rest of this process."""
    gc.set_threshold(*_SELDOM)
