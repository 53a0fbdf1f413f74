"""ConfigMaps and Secrets (as dicts) -> Settings.

Every problem is reported, not the first. A value that cannot be read counts as absent, so that one typing error does not
take everything else down.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from tiphys.apimachinery.yamljson import YamlError, load_one
from tiphys.model.annotations import parse_csv, parse_go_bool, parse_go_int
from tiphys.model.codec import InvalidObject, decode
from tiphys.model.duration import parse_duration
from tiphys.runtime.secret import Secret
from tiphys.settings.accounts import load_accounts
from tiphys.settings.customizations import load_overrides
from tiphys.settings.keys import CM, PARAMS_CM, RBAC_CM, SCALARS, SECRET, Key
from tiphys.settings.problems import Problem, Problems
from tiphys.settings.values import ResourceSelector, Settings

T = TypeVar("T")

Data = Mapping[str, str]

_POLICY_KEY = re.compile(r"policy\..+\.csv")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and what was wrong with what they were read from."""

    settings: Settings
    problems: tuple[Problem, ...]


def load_settings(objects: Mapping[str, Mapping[str, Any]]) -> Loaded:
    """Settings from the ConfigMaps and Secrets of our namespace, by name; absent ones are empty.

    Read are argocd-cm, argocd-cmd-params-cm, argocd-rbac-cm and argocd-secret.
    """
    problems = Problems()
    config, params, rbac = (config_map_data(objects.get(name) or {}) for name in (CM, PARAMS_CM, RBAC_CM))
    secret = secret_data(objects.get(SECRET) or {}, SECRET, problems)
    by_object = {CM: config, PARAMS_CM: params, RBAC_CM: rbac, SECRET: secret}
    values: dict[str, Any] = {}
    for key in SCALARS:
        text = by_object[key.object].get(key.name)
        if text is not None and text.strip():
            value = _scalar(key, text.strip(), problems)
            if value is not None:
                values[key.attribute] = value
    settings = Settings(
        **values,
        exclusions=_selectors(config, "resource.exclusions", problems),
        inclusions=_selectors(config, "resource.inclusions", problems),
        overrides=load_overrides(config, problems),
        accounts=load_accounts(config, secret, problems),
        rbac_policy=_policy(rbac),
        rbac_scopes=_scopes(rbac, problems),
        signing_key=Secret(secret.get("server.secretkey", "")),
        webhook_secrets=_webhook_secrets(secret),
        tls_certificate=secret.get("tls.crt", ""),
        tls_key=Secret(secret.get("tls.key", "")),
    )
    return Loaded(settings, problems.found())


def config_map_data(obj: Mapping[str, Any]) -> dict[str, str]:
    """`data` of a ConfigMap object."""
    data = obj.get("data")
    return {str(key): str(value) for key, value in data.items()} if isinstance(data, Mapping) else {}


def secret_data(obj: Mapping[str, Any], name: str = "", problems: Problems | None = None) -> dict[str, str]:
    """`data` of a Secret object, decoded, `stringData` over it. A value that is no base64 or no UTF-8 is left out."""
    out: dict[str, str] = {}
    data = obj.get("data")
    for key, value in data.items() if isinstance(data, Mapping) else ():
        try:
            # Values written by an editor or `echo` end in a newline that nobody means. Source: compat 17.2.
            out[str(key)] = base64.b64decode(str(value or ""), validate=True).decode().rstrip("\r\n")
        except (binascii.Error, UnicodeDecodeError):
            if problems is not None:
                problems.add(name, str(key), "is not base64 of UTF-8 text")
    plain = obj.get("stringData")
    if isinstance(plain, Mapping):
        out.update({str(key): str(value) for key, value in plain.items()})
    return out


def _scalar(key: Key, text: str, problems: Problems) -> object:
    if key.type == "choice":
        if text in key.choices:
            return text
        problems.add(key.object, key.name, f"is not one of {', '.join(choice for choice in key.choices if choice)}")
        return None
    if key.type == "string":
        return text
    if key.type == "csv":
        return parse_csv(text)
    readers: dict[str, tuple[Callable[[str], object], str]] = {
        "bool": (parse_go_bool, "is not a boolean (true or false)"),
        "int": (_not_negative, "is not a number of 0 or more"),
        "duration": (_duration, "is not a duration such as 120s or 1h30m"),
    }
    read, complaint = readers[key.type]
    value = read(text)
    if value is None:
        problems.add(key.object, key.name, complaint)
    return value


def _not_negative(text: str) -> int | None:
    value = parse_go_int(text)
    return value if value is not None and value >= 0 else None


def _duration(text: str) -> timedelta | None:
    try:
        value = parse_duration(text)
    except ValueError:
        return None
    return value if value >= timedelta() else None


def _selectors(config: Data, name: str, problems: Problems) -> tuple[ResourceSelector, ...]:
    text = config.get(name)
    if not text or not text.strip():
        return ()
    try:
        items = load_one(text)
    except YamlError as error:
        problems.add(CM, name, f"is not YAML: {error}")
        return ()
    if items is None:
        return ()
    if not isinstance(items, list):
        problems.add(CM, name, "is not a list of {apiGroups, kinds, clusters}")
        return ()
    found = []
    for index, item in enumerate(items):
        try:
            found.append(decode(ResourceSelector, item, path=f"[{index}]"))
        except InvalidObject as error:
            for problem in error.problems:
                problems.add(CM, name, problem)
    return tuple(found)


def _policy(rbac: Data) -> str:
    """policy.csv, then policy.<x>.csv in the order of their keys. Source: compat 6.1."""
    parts = [rbac.get("policy.csv", "")]
    parts += [rbac[key] for key in sorted(rbac) if _POLICY_KEY.fullmatch(key)]
    return "\n".join(part for part in parts if part)


def _webhook_secrets(secret: Data) -> dict[str, Secret]:
    """Those that are not empty: `webhook.github.secret` is `github`."""
    return {
        name.removeprefix("webhook.").removesuffix(".secret").removesuffix(".uuid"): Secret(value)
        for name, value in secret.items()
        if name.startswith("webhook.") and value
    }


def _scopes(rbac: Data, problems: Problems) -> tuple[str, ...]:
    text = rbac.get("scopes", "").strip()
    if not text:
        return ("groups",)
    try:
        value = load_one(text)
    except YamlError:
        value = None
    if isinstance(value, str):
        return parse_csv(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    problems.add(RBAC_CM, "scopes", "is not a list of claim names such as [groups]")
    return ("groups",)
