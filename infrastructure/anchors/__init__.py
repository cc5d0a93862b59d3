"""The anchor log in the cell: its rounds, their publication under witnesses, their openings."""
