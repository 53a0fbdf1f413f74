"""`tiphys image set`: new images written into a repository's files, committed and pushed, as CI does."""
