"""A real Kubernetes control plane for tests: `build` makes its executable, `cluster` runs it."""
