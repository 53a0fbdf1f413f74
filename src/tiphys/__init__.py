"""An Argo CD-compatible GitOps engine for Kubernetes."""

__version__ = "0.1.0"
