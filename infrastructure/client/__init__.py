"""What those who ask do on their own side: sign with their wallets, seal inputs, open outputs."""
