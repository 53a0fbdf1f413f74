"""One module per noun. A command parses, calls, prints."""
