"""What executions used: lines and statements."""
