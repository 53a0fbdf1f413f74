"""Talks to Kubernetes API servers over HTTP."""
