"""What outlives a restart beside the cluster: the ledger of operations and rendered manifests, in SQL."""
