"""What it costs to verify a bundle: entries, tiles and tree; and with every embedded signature."""
