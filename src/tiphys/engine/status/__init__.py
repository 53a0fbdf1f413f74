"""Comparison and operation -> Application status. Pure."""
