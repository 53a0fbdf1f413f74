"""Charts and kustomizations that are installed, changed and removed on a cluster; what they leave is compared."""
