"""Credentials: W3C Verifiable Credentials secured by Data Integrity eddsa-jcs-2022."""
