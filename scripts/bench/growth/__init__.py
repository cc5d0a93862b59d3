"""What an append costs in a ledger that has grown a hundredfold."""
