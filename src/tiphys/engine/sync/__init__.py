"""Drift -> SyncPlan -> actions -> results."""
