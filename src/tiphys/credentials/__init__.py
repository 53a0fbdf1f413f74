"""Repository Secrets and templates -> with what a repository is reached."""
