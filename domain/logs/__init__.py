"""What every log, whoever it belongs to, says of itself."""
