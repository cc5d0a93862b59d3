"""Delivery of notices of faults: handed out or posted at least once, recorded once, in the failing tenant's log."""
