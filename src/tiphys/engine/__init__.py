"""The GitOps pipeline: one package per stage, in the order data flows; read reconcile.py first."""
