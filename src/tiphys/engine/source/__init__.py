"""(repository, revision expression) -> Snapshot."""
