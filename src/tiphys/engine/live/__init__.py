"""Cluster -> LiveState."""
