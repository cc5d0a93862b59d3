"""Posting to webhooks: targets, one bounded exchange, signatures of messages, and who is tried when."""
