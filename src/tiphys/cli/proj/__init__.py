"""`tiphys proj`: projects."""
