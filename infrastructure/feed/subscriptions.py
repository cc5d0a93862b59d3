"""`subscribe`: everything that one process subscribes to in one cell.

    feeds = Subscriptions(ledger)
    for event in feeds.subscribe(feeds.sources.events(log_id), after=41):      # the log's entries 42, 43, ...
    async for entry in feeds.subscribe_async(feeds.sources.all_entries()):     # all logs, from the first commit on

Invariants:
- One hub, and so one listening connection, for all subscriptions; asynchronous ones read in a few threads together.
- Closing ends every subscription.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from infrastructure.closing import Closing
from infrastructure.feed.asynchronous import AsyncSubscription
from infrastructure.feed.hub import Hub
from infrastructure.feed.source import Source, Sources
from infrastructure.feed.subscription import Subscription, Trouble
from infrastructure.logbook import Logbook

T = TypeVar("T")

_READERS = 4
"""Threads, and so connections, that read pages for asynchronous subscribers."""


class Subscriptions(Closing):
    """The subscriptions of one process.

    Args:
        logbook: the cell's logs.
    """

    def __init__(self, logbook: Logbook) -> None:
        self.sources = Sources(logbook)
        self.hub = Hub(logbook.datastore)
        self._readers = ThreadPoolExecutor(_READERS, "ledger-feed-reader")

    def subscribe(
        self, source: Source[T], *, after: int | None = None, follow: bool = True, trouble: Trouble | None = None
    ) -> Subscription[T]:
        """Return an iterator over a source, from after a cursor (None: from the start); close it, or use it in `with`.

        Args:
            source: one of `sources`, or of infrastructure.feed.source.
            after: the cursor of the last item that was dealt with.
            follow: go on live; otherwise it ends where nothing follows.
            trouble: told of each attempt to read that failed; it goes on by itself.
        """
        return Subscription(self.hub, source, after=after, follow=follow, trouble=trouble)

    def subscribe_async(
        self, source: Source[T], *, after: int | None = None, follow: bool = True, trouble: Trouble | None = None
    ) -> AsyncSubscription[T]:
        """Return an asynchronous iterator. Arguments as for `subscribe`."""
        return AsyncSubscription(self.hub, source, self._readers, after=after, follow=follow, trouble=trouble)

    def close(self) -> None:
        """End all subscriptions. Safe to repeat."""
        self.hub.close()
        self._readers.shutdown()
