"""What the ledger does when asked: verify at the border, decide purely, save together."""
