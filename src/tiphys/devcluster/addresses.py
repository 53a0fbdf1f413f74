"""Cluster addresses and node ports of Services: who has which, and the next free one."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

SERVICE_NETWORK: Final = "10.96.0.0/16"
NODE_PORTS: Final = (30000, 32767)


class AllocationError(Exception):
    """An address or port that cannot be had; the text is kube-apiserver's."""


class Addresses(Protocol):
    """What Service admission asks for. Raises AllocationError."""

    def cluster_ip(self, wanted: str = "") -> str:
        """`wanted` if it is free, else any free address."""

    def node_port(self, wanted: int = 0) -> int:
        """`wanted` if it is free, else any free port."""


class AddressPool:
    """Addresses and ports in memory. They follow from the stored Services: `adopt` each of them at start.

    A dry run uses `fork()`. When a create fails after admission, or a Service is deleted, `release` it; after an update
    `release_dropped(old, new)`.
    """

    def __init__(self, network: str = SERVICE_NETWORK, ports: tuple[int, int] = NODE_PORTS) -> None:
        self._network = ipaddress.ip_network(network)
        self._ports = ports
        self._used_ips: set[str] = set()
        self._used_ports: set[int] = set()
        self._next_ip = 2  # the first is the Service `kubernetes`, which asks for it by name
        self._next_port = ports[0]

    def fork(self) -> AddressPool:
        """A pool with the same allocations whose changes stay its own."""
        other = AddressPool(str(self._network), self._ports)
        other._used_ips = set(self._used_ips)
        other._used_ports = set(self._used_ports)
        other._next_ip, other._next_port = self._next_ip, self._next_port
        return other

    def cluster_ip(self, wanted: str = "") -> str:
        """See Addresses."""
        if wanted:
            return self._take_ip(wanted)
        size = self._network.num_addresses - 2
        for _ in range(size):
            candidate = str(self._network[self._next_ip])
            self._next_ip = self._next_ip % size + 1
            if candidate not in self._used_ips:
                self._used_ips.add(candidate)
                return candidate
        raise AllocationError("range is full")

    def node_port(self, wanted: int = 0) -> int:
        """See Addresses."""
        low, high = self._ports
        if wanted:
            if not low <= wanted <= high:
                raise AllocationError(
                    f"provided port is not in the valid range. The range of valid ports is {low}-{high}"
                )
            if wanted in self._used_ports:
                raise AllocationError("provided port is already allocated")
            self._used_ports.add(wanted)
            return wanted
        for _ in range(high - low + 1):
            candidate = self._next_port
            self._next_port = candidate + 1 if candidate < high else low
            if candidate not in self._used_ports:
                self._used_ports.add(candidate)
                return candidate
        raise AllocationError("range is full")

    def adopt(self, service: Mapping[str, Any]) -> None:
        """Take note of what a stored Service has."""
        ips, ports = allocations(service)
        self._used_ips |= ips
        self._used_ports |= ports

    def release(self, service: Mapping[str, Any]) -> None:
        """Give back what a Service had."""
        ips, ports = allocations(service)
        self._used_ips -= ips
        self._used_ports -= ports

    def release_dropped(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Give back what `old` had and `new` has no more."""
        old_ips, old_ports = allocations(old)
        new_ips, new_ports = allocations(new)
        self._used_ips -= old_ips - new_ips
        self._used_ports -= old_ports - new_ports

    def _take_ip(self, wanted: str) -> str:
        try:
            inside = ipaddress.ip_address(wanted) in self._network
        except ValueError:
            inside = False
        if not inside:
            raise AllocationError(
                f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. "
                f"The range of valid IPs is {self._network}"
            )
        if wanted in self._used_ips:
            raise AllocationError(f"failed to allocate IP {wanted}: provided IP is already allocated")
        self._used_ips.add(wanted)
        return wanted


def allocations(service: Mapping[str, Any]) -> tuple[set[str], set[int]]:
    """Addresses and node ports a Service holds."""
    spec = service.get("spec") or {}
    addresses: Iterable[str] = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
    ports = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        ports.add(spec["healthCheckNodePort"])
    return {address for address in addresses if address not in ("", "None")}, ports
