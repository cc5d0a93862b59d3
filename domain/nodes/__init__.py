"""Machines with their operator, country, vendor and platform ids."""
