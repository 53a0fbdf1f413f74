"""TargetState x LiveState -> Drift per resource. Pure."""
