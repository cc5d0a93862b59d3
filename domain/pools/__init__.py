"""Pools of nodes to overflow to: what their operators offer."""
