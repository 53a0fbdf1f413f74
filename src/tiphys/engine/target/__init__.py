"""Rendered -> TargetState. Pure."""
