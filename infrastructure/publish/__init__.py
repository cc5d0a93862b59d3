"""Publication: logs as directories that anyone can read, signed behind a floor that no restored backup gets under."""
