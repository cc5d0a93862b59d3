"""What is true: events, decisions, policies and Merkle mathematics. Pure: no clock, randomness, environment or I/O."""
