"""Quotas of the scope tree, bandwidth tokens, and what is borrowed and lent."""
