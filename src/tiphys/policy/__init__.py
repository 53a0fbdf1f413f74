"""May this happen? Pure answers with a reason."""
