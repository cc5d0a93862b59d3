"""One time-limited attempt on one node, from reservation to reset."""
