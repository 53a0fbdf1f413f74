"""Snapshot -> Rendered, in worker processes without credentials."""
