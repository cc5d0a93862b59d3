"""Who read: events of access."""
