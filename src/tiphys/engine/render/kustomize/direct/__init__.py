"""Builds of plain overlays, done here instead of by a process of kubectl: what is not surely understood is left to that."""
