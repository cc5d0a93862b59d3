"""The HTTP API: nodes' enrolment, assignments and reports; everything else comes after it."""
