"""Statements of usage: made from the read model, verified against bundles, summed for operators."""
