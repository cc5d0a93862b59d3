"""Conformance: whoever audits a cell, or its own bundle, holds the decisions against the traces."""
