"""How many decisions a large cell takes, how promptly, and how well its nodes are used."""
