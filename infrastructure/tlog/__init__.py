"""Logs as others see them: signatures, bundles and their verification. Needs no database and no network."""
