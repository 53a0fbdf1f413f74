"""A Kubernetes-compatible API server in one process; speaks HTTP, knows no GitOps."""
