"""Composition root: settings in, running services out; the only place that builds I/O objects."""
