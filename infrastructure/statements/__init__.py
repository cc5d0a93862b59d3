"""Statements: what others sign, as strict compact JWS."""
