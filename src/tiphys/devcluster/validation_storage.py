"""Which drivers, attachments, capacities and classes of volumes are legal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery.apierrors import forbidden_value, invalid_value, required
from tiphys.apimachinery.quantity import parse
from tiphys.devcluster.validation_names import (
    NOT_NEGATIVE,
    Causes,
    check,
    check_choice,
    check_same,
    dns_subdomain,
    invalid_struct,
)

Json = Mapping[str, Any]

_GROUP_POLICIES: Final = ("File", "None", "ReadWriteOnceWithFSType")


def check_driver(causes: Causes, obj: Json, old: Json | None) -> None:
    """A CSIDriver."""
    spec = obj.get("spec") or {}
    check_choice(causes, "spec.fsGroupPolicy", spec.get("fsGroupPolicy"), _GROUP_POLICIES)
    if old is not None:
        before = old.get("spec") or {}
        check_same(causes, "spec.attachedRequired", spec.get("attachRequired"), before.get("attachRequired"))
        check_same(
            causes, "spec.volumeLifecycleModes", spec.get("volumeLifecycleModes"), before.get("volumeLifecycleModes")
        )


def check_driver_node(causes: Causes, obj: Json, old: Json | None) -> None:
    """A CSINode: the drivers of a node, each with the node's name as the driver calls it."""
    before = {one.get("name"): one for one in ((old or {}).get("spec") or {}).get("drivers") or ()}
    for index, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        path, node = f"spec.drivers[{index}]", driver.get("nodeID", "")
        if not node:
            causes.append(required(f"{path}.nodeID"))
        known = before.get(driver.get("name"))
        if known is not None and known != driver:
            shown = {
                "Name": driver.get("name", ""),
                "NodeID": node,
                "TopologyKeys": driver.get("topologyKeys"),
                "Allocatable": driver.get("allocatable"),
            }
            causes.append(invalid_struct("spec.drivers", shown, "field is immutable"))


def check_attachment(causes: Causes, obj: Json, old: Json | None) -> None:
    """A VolumeAttachment, which never changes."""
    spec = obj.get("spec") or {}
    if old is not None:
        if spec != (old.get("spec") or {}):
            source = spec.get("source") or {}
            shown = {
                "Attacher": spec.get("attacher", ""),
                "Source": {
                    "PersistentVolumeName": source.get("persistentVolumeName"),
                    "InlineVolumeSpec": source.get("inlineVolumeSpec"),
                },
                "NodeName": spec.get("nodeName", ""),
            }
            causes.append(invalid_struct("spec", shown, "field is immutable"))
        if not spec.get("attacher"):
            causes.insert(0, required("spec.attacher"))
        return
    source = spec.get("source") or {}
    if not spec.get("attacher"):
        causes.append(required("spec.attacher"))
    if len([one for one in ("persistentVolumeName", "inlineVolumeSpec") if source.get(one)]) != 1:
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        causes.append(required("spec.source", detail))
    check(causes, "spec.nodeName", spec.get("nodeName", ""), dns_subdomain(spec.get("nodeName", "")))


def check_capacity(causes: Causes, obj: Json, old: Json | None) -> None:
    """A CSIStorageCapacity."""
    name = obj.get("storageClassName", "")
    check(causes, "storageClassName", name, dns_subdomain(name))
    for field in ("capacity", "maximumVolumeSize"):
        if obj.get(field) is not None and parse(obj[field]) < 0:
            causes.append(invalid_value(field, obj[field], NOT_NEGATIVE))
    if old is not None:
        check_same(causes, "nodeTopology", obj.get("nodeTopology"), old.get("nodeTopology"))
        check_same(causes, "storageClassName", name, old.get("storageClassName", ""))


def check_attributes_class(causes: Causes, obj: Json, old: Json | None) -> None:
    """A VolumeAttributesClass, which never changes."""
    if not obj.get("driverName"):
        causes.append(required("driverName"))
    if not obj.get("parameters"):
        causes.append(required("parameters", "must contain at least one key/value pair"))
    if old is not None:
        causes += [
            forbidden_value(field, f"updates to {field} are forbidden.")
            for field in ("driverName", "parameters")
            if obj.get(field) != old.get(field)
        ]
