"""Keys: sealing of entries, the keyring, principals' wallets, HPKE."""
