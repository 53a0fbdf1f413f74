"""Kustomize: which files a build reads, what an Application puts over them, and the build itself."""
