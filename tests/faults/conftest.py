"""Faults that tests bring about, and where each of them lives.

- kill -9 of every part and of PostgreSQL at every step, under load: test_pipeline_kills here (the long form with
  `make soak`). Step by step, alone: append tests/postgres/test_disasters, feed tests/feed/test_disasters, projections
  tests/projecting, publication tests/publish/test_publisher, rounds tests/anchoring/test_killed_publishers, witness
  tests/witness/test_crash, export tests/tlog/test_resumed_export, keyring tests/keys/test_keyring. Servers and writers
  under full load: tests/append/test_kills.
- a connection lost around a commit: tests/postgres/test_disasters, tests/append/test_acknowledging
- commits held up on purpose: tests/feed/test_subscription
- a full disk: test_disk_full here
- a witness that is down, slow, lying or rolled back: tests/anchoring/test_witnessed_rounds
- a restored backup: tests/publish/test_freezing, test_thawing, test_restored_commands;
  tests/anchoring/test_restored_anchors
- a server that comes back: test_reconnecting and test_server_again here
- bad input: test_bad_input and test_large_positions here; tests/cli/test_keys for keyring and passphrase
- tampering: tests/tampering, tests/fsck; tests/audit for forged histories, tests/anchoring for openings and split views
"""

from tests.database import conninfo, datastore, postgres, recorder

__all__ = ["conninfo", "datastore", "postgres", "recorder"]
