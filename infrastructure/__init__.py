"""Effects: store, log export, keys, credentials, the keep and the command line."""
