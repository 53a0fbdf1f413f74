"""up and down: the home folder, its processes, the example repository."""
