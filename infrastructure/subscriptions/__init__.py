"""Delivers results to the webhooks of the tenants that they are of."""
