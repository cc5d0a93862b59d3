"""Tenants and scopes: who they are, who acts for them, what policy is in force."""
