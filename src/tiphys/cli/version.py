"""`tiphys version`: of this program, of the server, and which tools are used."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from tiphys import __version__
from tiphys.cli.arguments import Verb, flag

COMPATIBLE = "v3.6.0"  # the Argo CD release whose interface this is; scripts compare it


@click.command("version", cls=Verb)
@flag("--client", help="Client version only (no server required).")
@flag("--short", help="Print just the version numbers.")
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide|short")
@click.pass_context
def version(ctx: click.Context, client: bool, short: bool, output: str) -> None:
    """Print version information.

    \b
    Examples:
      tiphys version --client
      tiphys version --short
      tiphys version -o json
    """
    name = ctx.find_root().info_name or "tiphys"
    mine: dict[str, Any] = {"Version": f"{COMPATIBLE}+tiphys.{__version__}", **_details()}
    server: dict[str, Any] | None = None
    if not client:
        from tiphys.cli.session import open_api

        server = open_api(ctx).version()
    if output in ("json", "yaml"):
        from tiphys.cli.output import print_value

        shown: dict[str, Any] = {"client": {name: mine["Version"]} if short else mine}
        if server is not None:
            shown["server"] = {"argocd-server": server.get("Version")} if short else server
        print_value(shown, output)
        return
    if output not in ("wide", "short", ""):
        from tiphys.cli.output import UnknownFormError

        raise UnknownFormError(output)
    short = short or output == "short"
    _print(name, mine, short=short)
    if server is not None:
        _print("argocd-server", server, short=short)


def _print(name: str, found: dict[str, Any], *, short: bool) -> None:
    click.echo(f"{name}: {found.get('Version', '')}")
    if not short:
        for key, value in found.items():
            if key != "Version" and value:
                click.echo(f"  {key}: {value}")


def _details() -> dict[str, str]:
    """What this program runs on and with."""
    return {
        "PythonVersion": platform.python_version(),
        "Platform": f"{sys.platform}/{platform.machine()}",
        "Kubectl": tool("kubectl"),
        "Git": tool("git"),
        "Helm": _helm(),
    }


def _helm() -> str:
    """What charts are rendered with: the engine of the wheel, else a program."""
    try:
        return f"helm-python-sdk {metadata.version('helm-python-sdk')} (wheel)"
    except metadata.PackageNotFoundError:
        return tool("helm")


def tool(name: str) -> str:
    """Where a program that Tiphys starts is: beside this one (from a wheel) or on PATH."""
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return f"{beside} (wheel)"
    return shutil.which(name) or "not found"
