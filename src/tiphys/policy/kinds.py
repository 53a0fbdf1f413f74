"""Which kinds exist for us: resource.exclusions and resource.inclusions.

Source: compat 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.policy.glob import glob_match
from tiphys.settings.values import ResourceSelector, Settings

# Kinds that are written all the time and belong to nobody's Git.
BUILT_IN_EXCLUSIONS: tuple[ResourceSelector, ...] = (
    ResourceSelector(api_groups=("events.k8s.io", "metrics.k8s.io")),
    ResourceSelector(api_groups=("",), kinds=("Event",)),
    ResourceSelector(api_groups=("coordination.k8s.io",), kinds=("Lease",)),
)


def is_excluded(settings: Settings, group: str, kind: str, server: str) -> bool:
    """Whether a kind of a cluster (by server URL) is to be treated as if it did not exist."""
    if _in_any(BUILT_IN_EXCLUSIONS, group, kind, server):
        return True
    if settings.inclusions and not _in_any(settings.inclusions, group, kind, server):
        return True
    return _in_any(settings.exclusions, group, kind, server)


def _in_any(selectors: Sequence[ResourceSelector], group: str, kind: str, server: str) -> bool:
    return any(
        (not item.api_groups or any(glob_match(pattern, group) for pattern in item.api_groups))
        and (not item.kinds or "*" in item.kinds or kind in item.kinds)
        and (not item.clusters or any(glob_match(pattern, server) for pattern in item.clusters))
        for item in selectors
    )
