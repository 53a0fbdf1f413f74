"""Manifests that nothing could be made from are found before anything is touched."""

from __future__ import annotations

from dataclasses import replace

from tests.support.plans import drift, manifest, wanted

from tiphys.engine.states import DriftKind
from tiphys.engine.sync.dryrun import faults
from tiphys.engine.sync.plan import plan

UNKNOWN = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dat"'


def test_a_field_the_kind_does_not_have_is_a_fault_unless_validation_is_off() -> None:
    made = plan([drift(manifest(name="bad", dat={})), drift(manifest(name="good"))], (), wanted())

    assert [fault for _id, fault in faults(made.tasks, ())] == [UNKNOWN, None]
    assert [fault for _id, fault in faults(made.tasks, ("Validate=false",))] == [None, None]


def test_the_resources_own_validate_option_wins() -> None:
    one = drift(manifest(name="bad", dat={}))
    assert one.target is not None
    one = replace(one, target=replace(one.target, options=frozenset({"Validate=false"})))

    assert [fault for _id, fault in faults(plan([one], (), wanted()).tasks, ())] == [None]


def test_a_value_of_the_wrong_type_is_a_fault_even_without_validation() -> None:
    made = plan([drift(manifest(data={"a": 1}))], (), wanted())

    ((_id, fault),) = faults(made.tasks, ("Validate=false",))
    assert fault is not None
    assert fault.startswith('ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number')


def test_what_is_live_already_and_custom_kinds_are_not_looked_at() -> None:
    same = drift(manifest(dat={}), DriftKind.SAME)
    custom = drift(manifest("Widget", "w", apiVersion="example.com/v1", dat=1))

    assert list(faults(plan([same, custom], (), wanted()).tasks, ())) == []
