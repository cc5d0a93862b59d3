"""Conformance: decisions made again from views, by whoever restarts, replays or audits."""
