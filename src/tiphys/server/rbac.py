"""The RBAC rules in force, built anew only when the settings they come from have changed."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.policy.rbac import RBAC, build_rbac
from tiphys.runtime.log import SILENT, Logger
from tiphys.settings.values import Settings


class RBACInForce:
    """Calling it gives the RBAC of the settings in force. A policy that cannot be read is logged once."""

    def __init__(self, settings: Callable[[], Settings], *, log: Logger = SILENT) -> None:
        self._settings = settings
        self._log = log
        self._of: tuple[str, str, str] | None = None
        self._rbac = RBAC()

    def __call__(self) -> RBAC:
        """The rules that hold now."""
        settings = self._settings()
        of = (settings.rbac_policy, settings.rbac_default_role, settings.rbac_match_mode)
        if of != self._of:
            self._rbac, problem = build_rbac(of[0], default_role=of[1], match_mode=of[2])
            self._of = of
            if problem:
                self._log.warning("the RBAC policy of argocd-rbac-cm is not used", problem=problem)
        return self._rbac
