"""Kubernetes object rules as pure functions over plain dicts; used by the engine and by the dev cluster."""
