"""Typed client of our own HTTP API."""
