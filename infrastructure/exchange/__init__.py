"""Speaking with a ledger over HTTP, apart from how bytes travel: the same conversation blocking and asynchronous."""
