"""Checks a live database against itself, its published logs and its floors, and changes nothing."""
