"""What a definition may say, and what the server says about one it takes."""

from __future__ import annotations

from typing import Any

from tests.support.incluster import incluster

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(schema: dict[str, Any], **version: Any) -> dict[str, Any]:
    whole = {"type": "object", "properties": {"spec": schema}}
    served = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": whole}, **version}
    return {
        "metadata": {"name": "boxes.x.io"},
        "spec": {
            "group": "x.io",
            "scope": "Namespaced",
            "names": {"plural": "boxes", "kind": "Box"},
            "versions": [served],
        },
    }


async def test_rules_that_are_not_evaluated_are_said_when_a_definition_is_written_and_when_they_would_judge() -> None:
    rule = {"rule": "self.size > 1"}
    schema = {"type": "object", "properties": {"size": {"type": "integer"}}, "x-kubernetes-validations": [rule]}
    said = '299 - "the embedded cluster did not evaluate the x-kubernetes-validations rules of this kind"'
    async with incluster() as client:
        defined = await client.request("POST", DEFINITIONS, definition(schema))
        box = {"apiVersion": "x.io/v1", "kind": "Box", "metadata": {"name": "a"}, "spec": {"size": 1}}
        made = await client.request("POST", "/apis/x.io/v1/namespaces/default/boxes", box)
    assert (defined.code, defined.header("warning")) == (201, [said])
    assert (made.code, made.header("warning")) == (201, [said])


async def test_a_definition_is_refused_with_all_its_faults_at_once() -> None:
    columns = [{"name": "", "type": "odd", "jsonPath": "x"}]
    schema = {"type": "string", "default": 1}
    scale = {"scale": {"specReplicasPath": "x", "statusReplicasPath": ".spec.y"}}
    wrong = definition(schema, additionalPrinterColumns=columns, subresources=scale)
    wrong["spec"]["names"]["shortNames"] = ["B_X"]
    async with incluster() as client:
        refused = await client.request("POST", DEFINITIONS, wrong)
    assert refused.code == 422
    assert sorted(one["field"] for one in refused.json["details"]["causes"]) == [
        "spec.additionalPrinterColumns[0].JSONPath",
        "spec.additionalPrinterColumns[0].name",
        "spec.additionalPrinterColumns[0].type",
        "spec.names.shortNames[0]",
        "spec.subresources.scale.specReplicasPath",
        "spec.subresources.scale.statusReplicasPath",
        "spec.validation.openAPIV3Schema.properties[spec].default",
    ]


async def test_a_format_nobody_checks_is_warned_of_and_a_webhook_that_converts_refused() -> None:
    async with incluster() as client:
        odd = await client.request("POST", f"{DEFINITIONS}?dryRun=All", definition({"type": "string", "format": "odd"}))
        converted = definition({"type": "object"})
        webhook = {"clientConfig": {"url": "https://x.io/c"}, "conversionReviewVersions": ["v1"]}
        converted["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
        refused = await client.request("POST", DEFINITIONS, converted)
    assert odd.header("warning") == ['299 - "unrecognized format \\"odd\\""']
    assert refused.code == 422
    assert "calls no conversion webhooks" in refused.json["message"]
