"""argocd-cm and its kin, parsed once into frozen settings; reports every problem, not the first."""
