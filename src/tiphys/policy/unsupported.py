"""What an Application or AppProject may ask for that cannot be done yet: Tiphys says so instead of doing something else.

Every entry goes when the feature comes; `docs/status.md` is the same list in prose.
"""

from __future__ import annotations

from tiphys.model.application import ApplicationSpec
from tiphys.model.appproject import AppProject


def unsupported(spec: ApplicationSpec, project: AppProject) -> list[str]:
    """One sentence per thing that is asked for and cannot be done yet."""
    found: list[str] = []
    if len(spec.sources) > 1:
        found.append("several sources are not supported yet")
    if spec.source_hydrator is not None:
        found.append("sourceHydrator is not supported yet")
    if project.spec.destination_service_accounts:
        found.append(f"destinationServiceAccounts, which project {project.name} has, are not supported yet")
    if project.spec.signature_keys:
        found.append(f"signatureKeys, which project {project.name} has, are not supported yet")
    return found
