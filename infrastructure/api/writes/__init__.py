"""What tenants and scopes write over HTTP: each is a statement, taken by the command that takes it elsewhere."""
