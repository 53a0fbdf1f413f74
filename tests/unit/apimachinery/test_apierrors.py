"""Status objects and messages are those a real API server sends."""

from __future__ import annotations

import json

import pytest

from tiphys.apimachinery import apierrors as e


def test_not_found_is_the_recorded_status() -> None:
    assert json.dumps(e.not_found("configmaps", "", "nope").to_status()) == json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": 'configmaps "nope" not found',
            "reason": "NotFound",
            "details": {"name": "nope", "kind": "configmaps"},
            "code": 404,
        }
    )


def test_invalid_names_the_kind_and_lists_its_causes_as_recorded() -> None:
    error = e.invalid(
        "Deployment",
        "apps",
        "a",
        [
            e.invalid_value("spec.replicas", -1, "must be greater than or equal to 0"),
            e.invalid_value("spec.template.metadata.labels", {"a": "c"}, "`selector` does not match template `labels`"),
            e.required("spec.template.spec.containers"),
        ],
    )
    assert error.message == (
        'Deployment.apps "a" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, '
        'spec.template.metadata.labels: Invalid value: {"a":"c"}: `selector` does not match template `labels`, '
        "spec.template.spec.containers: Required value]"
    )
    assert json.dumps(error.to_status()["details"]) == json.dumps(
        {
            "name": "a",
            "group": "apps",
            "kind": "Deployment",
            "causes": [
                {
                    "reason": "FieldValueInvalid",
                    "message": "Invalid value: -1: must be greater than or equal to 0",
                    "field": "spec.replicas",
                },
                {
                    "reason": "FieldValueInvalid",
                    "message": 'Invalid value: {"a":"c"}: `selector` does not match template `labels`',
                    "field": "spec.template.metadata.labels",
                },
                {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.template.spec.containers"},
            ],
        }
    )


def test_a_single_cause_stands_without_brackets_and_equal_causes_once() -> None:
    cause = e.invalid_value("metadata.uid", "zzz", "field is immutable")
    error = e.invalid("ConfigMap", "", "w1", [cause, cause])
    assert error.message == 'ConfigMap "w1" is invalid: metadata.uid: Invalid value: "zzz": field is immutable'
    assert len(error.causes) == 2


@pytest.mark.parametrize(
    ("error", "code", "reason", "message"),
    [
        (e.not_found("deployments", "apps", "x"), 404, "NotFound", 'deployments.apps "x" not found'),
        (e.already_exists("configmaps", "", "w1"), 409, "AlreadyExists", 'configmaps "w1" already exists'),
        (
            e.conflict("configmaps", "", "w1"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on configmaps "w1": the object has been modified; '
            "please apply your changes to the latest version and try again",
        ),
        (e.forbidden("pods", "", "x", "no"), 403, "Forbidden", 'pods "x" is forbidden: no'),
        (e.forbidden("pods", "", "", "no"), 403, "Forbidden", "pods is forbidden: no"),
        (
            e.unsupported_media_type(["application/json", "application/yaml"]),
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml",
        ),
        (
            e.method_not_allowed("deployments", "apps", "bind"),
            405,
            "MethodNotAllowed",
            'bind is not supported on resources of kind "deployments.apps"',
        ),
        (e.internal_error("boom"), 500, "InternalError", "Internal error occurred: boom"),
        (e.expired("too old"), 410, "Expired", "too old"),
    ],
)
def test_every_error_says_what_kubernetes_says(error: e.ApiError, code: int, reason: str, message: str) -> None:
    assert (error.code, error.reason, error.message, str(error)) == (code, reason, message, message)


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (e.required("spec.x"), "spec.x: Required value"),
        (
            e.required("fieldManager", "is required for apply patch"),
            "fieldManager: Required value: is required for apply patch",
        ),
        (e.invalid_value("spec.x", "v", "msg"), 'spec.x: Invalid value: "v": msg'),
        (e.type_invalid("spec.x", True, "msg"), "spec.x: Invalid value: true: msg"),
        (e.not_supported("spec.x", "x", ["a", "b"]), 'spec.x: Unsupported value: "x": supported values: "a", "b"'),
        (e.duplicate("spec.x[1].name", "v"), 'spec.x[1].name: Duplicate value: "v"'),
        (e.forbidden_value("spec.x", "no"), "spec.x: Forbidden: no"),
        (e.too_long("spec.x", 63), "spec.x: Too long: may not be more than 63 bytes"),
        (e.too_long("spec.x", 1), "spec.x: Too long: may not be more than 1 byte"),
        (e.too_many("spec.x", 3, 1), "spec.x: Too many: 3: must have at most 1 item"),
        (e.invalid_value("x", {"b": "<", "a": None}, ""), 'x: Invalid value: {"a":null,"b":"\\u003c"}'),
        (e.invalid_value("x", 'a"b\n', ""), 'x: Invalid value: "a\\"b\\n"'),
        (e.value_not_found("x", "v"), 'x: Not found: "v"'),
    ],
)
def test_causes_use_upstream_words(cause: e.FieldCause, text: str) -> None:
    assert str(cause) == text


@pytest.mark.parametrize("made", [*e.ApiError.__subclasses__(), e.Expired], ids=lambda c: c.__name__)
def test_a_status_comes_back_as_the_class_it_was_made_from(made: type[e.ApiError]) -> None:
    error = made("why", details={"name": "n"})
    back = e.ApiError.from_status(error.to_status(), error.code)
    assert type(back) is made
    assert back.to_status() == error.to_status()


def test_an_unknown_reason_falls_back_to_the_code() -> None:
    status = {"kind": "Status", "reason": "Brandnew", "message": "m", "code": 409}
    back = e.ApiError.from_status(status, 409)
    assert type(back) is e.Conflict
    assert back.reason == "Brandnew"


def test_an_answer_without_status_gets_the_generic_sentence() -> None:
    assert e.ApiError.from_status(None, 502).message == (
        'an error on the server ("unknown") has prevented the request from succeeding'
    )
    assert type(e.ApiError.from_status({"kind": "Other"}, 404)) is e.NotFound


def test_retry_after_is_seconds_or_none() -> None:
    assert e.too_many_requests("slow", 3).retry_after_s == 3.0
    assert e.not_found("a", "", "b").retry_after_s is None
