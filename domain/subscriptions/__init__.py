"""Subscriptions of a tenant to its own results: what is opened, chosen and delivered."""
