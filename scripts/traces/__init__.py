"""Foreign traces as files that `simulate` reads."""
