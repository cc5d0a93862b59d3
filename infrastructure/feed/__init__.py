"""Subscriptions: the feed as iterators that catch up, then follow live."""
