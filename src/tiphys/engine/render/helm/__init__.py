"""Charts: which files one reads, decided in the engine; rendered in a worker by the Helm SDK or a helm program."""
