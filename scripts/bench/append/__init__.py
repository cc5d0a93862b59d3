"""What an append costs: ours, sealed and hashed, beside the stock recorder's plain one."""
