"""The store: a PostgreSQL (embedded or given), its schema, the recorder, the feed and the read models."""
