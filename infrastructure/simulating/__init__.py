"""What if: a workload file run through the cell's own decisions in virtual time."""
