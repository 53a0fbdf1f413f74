"""Simulated controllers and a simulated node, acting through `ClusterAccess` only. Fault knobs: see `faults`."""

from tiphys.devcluster.workloads.simulation import ALL, NODE_ONLY, Simulation, run_simulation

__all__ = ["ALL", "NODE_ONLY", "Simulation", "run_simulation"]
