"""The demo as a service: the same story, carried out by processes that speak over HTTP, in real time."""
