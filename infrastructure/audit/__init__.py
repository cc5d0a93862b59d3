"""What outsiders do: export a log, verify it with nothing but itself, fold its history again."""
