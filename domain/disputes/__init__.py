"""Disputes: who doubts a result or a machine, who answers, what is shown, and who decides; in a scope's own log."""
