"""Failures of the API for people: what happened in plain words, why it may be so, and what to type next."""

from __future__ import annotations

import difflib
import re
from urllib.parse import unquote

import click

from tiphys.cli.failure import CommandFailed
from tiphys.client.errors import (
    DEADLINE_EXCEEDED,
    NOT_FOUND,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
    ApiFailure,
    Unreachable,
)

_NAMED = re.compile(r"/api/v1/(applications|projects)/([^/?]+)")
_NOUNS = {"applications": "application", "projects": "project"}
_FAILED_PRECONDITION = 9
_QUOTED = re.compile(r'^connection error: desc = "(?P<what>.*)"$', re.DOTALL)
_OTHER_SPEC = "existing application spec is different"
_PASSWORD_FORM = re.compile(r"^New password does not match the following expression: (?P<form>.*)\.$", re.DOTALL)
_LENGTHS = re.compile(r"^\^\.\{(\d+),(\d+)\}\$$")
_NO_NAMESPACE = re.compile(r'namespaces "([^"]+)" not found')


def explained(ctx: click.Context, error: ApiFailure) -> CommandFailed:
    """The failure with words for people; asks for the names there are when one was not found."""
    program = ctx.find_root().info_name or "tiphys"
    if error.code == UNAUTHENTICATED:
        return CommandFailed(
            str(error),
            human=f"not logged in: {error.message}",
            hint=f"Log in with `{program} login HOST`; `tiphys up` does it for what runs on this machine.",
        )
    named = _NAMED.search(error.path)
    if named and error.code in (NOT_FOUND, PERMISSION_DENIED):
        return _not_found(ctx, error, program, named[1], unquote(named[2]))
    hints = {
        PERMISSION_DENIED: f"`{program} account can-i ACTION RESOURCE OBJECT` tells what you may do.",
        DEADLINE_EXCEEDED: "The server's log says what it was waiting for.",
    }
    if error.code == _FAILED_PRECONDITION and "already in progress" in error.message and named:
        hints[error.code] = (
            f"Wait with `{program} app wait {unquote(named[2])} --operation`, or end it: `app terminate-op`."
        )
    hint = hints.get(error.code) or _hint_of(error.message, program)
    return CommandFailed(str(error), human=error.message, hint=hint)


def unreachable(error: Unreachable) -> CommandFailed:
    """No answer, in plain words: which address, why, and where to look."""
    found = _QUOTED.match(error.message)
    what = (found["what"] if found else error.message).replace("dial tcp: lookup ", "").replace("dial tcp ", "")
    hint = (
        "Is the server's certificate one of its own? Give --server-crt, or --insecure."
        if error.tls
        else "Is it running? `tiphys status` says what runs on this machine."
    )
    return CommandFailed(str(error), human=f"the server cannot be reached: {what}", hint=hint)


def advice(message: str, name: str) -> str:
    """What to type next after a sync that failed with this message, empty where the message is all there is to say."""
    missing = _NO_NAMESPACE.search(message)
    if missing:
        return (
            f"Create namespace {missing[1]}, or let the sync do it: "
            f"`app set {name} --sync-option CreateNamespace=true`, then `app sync {name}`."
        )
    if "app path does not exist" in message:
        return f"Paths begin at the root of the repository: `app set {name} --path PATH`."
    if "values" in message and "no such file or directory" in message:
        return f"Values files are looked for from the chart's folder: `app set {name} --values FILE`."
    return ""


def _hint_of(message: str, program: str) -> str:
    """What to type next after a refusal that is known by its words."""
    if message.startswith(_OTHER_SPEC):
        return "An application of this name is there with another spec: --upsert replaces that one."
    password = _PASSWORD_FORM.match(message)
    if password:
        lengths = _LENGTHS.match(password["form"])
        rule = f"A password has {lengths[1]} to {lengths[2]} characters" if lengths else "This is the server's rule"
        return f"{rule}; `passwordPattern` in argocd-cm sets it."
    if message == "current password does not match":
        return f"It is the password of whoever is logged in: `{program} account get-user-info` says who."
    return ""


def _not_found(ctx: click.Context, error: ApiFailure, program: str, kind: str, name: str) -> CommandFailed:
    names = _names(ctx, kind)
    noun = _NOUNS[kind]
    if name in names:
        return CommandFailed(
            str(error),
            human=f"you may not do this to {noun} '{name}': {error.message}",
            hint=f"`{program} account can-i ACTION {kind} OBJECT` tells what you may do.",
        )
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        hint = f"Did you mean {' or '.join(repr(item) for item in near)}?"
    else:
        hint = f"`{program} {'app' if kind == 'applications' else 'proj'} list` shows what there is."
    return CommandFailed(str(error), human=f"there is no {noun} '{name}' that you may see", hint=hint)


def _names(ctx: click.Context, kind: str) -> list[str]:
    from tiphys.cli.session import open_api

    try:
        api = open_api(ctx, within_s=3.0)
        try:
            objects = (
                api.list_applications(fields="items.metadata.name") if kind == "applications" else api.list_projects()
            )
        finally:
            api.close()
    except Exception:  # the failure that is explained is worth more than this one
        return []
    return [str((item.get("metadata") or {}).get("name") or "") for item in objects]
