"""A node on its own: takes assignments over HTTP, runs them in its keep, reports from a durable journal."""
