"""Domain-free async toolkit; could be its own library."""
