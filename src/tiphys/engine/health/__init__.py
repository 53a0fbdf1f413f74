"""Live object -> Health. Pure."""
