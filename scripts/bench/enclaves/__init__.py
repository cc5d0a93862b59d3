"""The benchmark of enclaves: fresh instances, whole executions, and how many live at once."""
