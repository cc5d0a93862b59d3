"""Decisions made again: the views that are kept, the replayer, and the states from which it goes on."""
