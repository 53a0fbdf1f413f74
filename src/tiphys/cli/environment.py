"""`tiphys up`, `down`, `status`, `logs`, `env`: a cluster and Tiphys on this machine."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path

import click


def _say(text: str) -> None:
    click.echo(text, err=True)


@click.command()
def up() -> int:
    """Start an embedded cluster and Tiphys on this machine, and deploy an example.

    Everything lives in one folder ($TIPHYS_HOME); running it again starts only what does not run.

    \b
    Example:
      tiphys up
    """
    from tiphys.devenv.home import resolve_home
    from tiphys.devenv.up import UpError
    from tiphys.devenv.up import up as start

    home = resolve_home(os.environ)
    began = time.monotonic()
    try:
        found = start(home, os.environ, _say)
    except UpError as error:
        click.echo(f"tiphys up: {error}", err=True)
        return 1
    prefix = _prefix()
    click.echo(
        f"Ready in {time.monotonic() - began:.0f} s. Tiphys answers at {found.url}, the cluster at port "
        f"{found.ports.api if found.ports else '?'}."
    )
    click.echo("\nWhat to type next:\n")
    for line, comment in (
        (f'eval "$({prefix} env)"', "kubectl and tiphys in this shell"),
        ("kubectl get app -n argocd", ""),
        ("tiphys app get my-app", ""),
        (f"git clone {shlex.quote(str(home.repository))} && cd config", ""),
        ("sed -i 's/nginx:1.27/nginx:1.28/' apps/my-app/deployment.yaml", ""),
        ("git commit -am 'nginx 1.28' && git push", "live in a moment"),
        ("tiphys app wait my-app && tiphys app history my-app", ""),
        ("tiphys down", "stop; --purge removes everything"),
    ):
        click.echo(f"  {line:<62}# {comment}" if comment else f"  {line}")
    if not found.initial_password:  # removed, as the guide says one should: whoever removed it knows the password
        return 0
    click.echo("\nThe CLI is logged in. The password of admin:\n")
    click.echo(
        f"  kubectl --kubeconfig {shlex.quote(str(found.home.kubeconfig))} -n argocd get secret argocd-initial-admin-secret "
        '-o jsonpath="{.data.password}" | base64 -d; echo'
    )
    return 0


@click.command()
@click.option("--purge", is_flag=True, help="Remove the cluster, the repository and everything else `up` made.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def down(purge: bool, yes: bool) -> int:
    """Stop what `up` started. Data stays, unless --purge.

    \b
    Example:
      tiphys down --purge -y
    """
    from tiphys.devenv.home import resolve_home
    from tiphys.devenv.up import UpError
    from tiphys.devenv.up import down as stop
    from tiphys.devenv.up import purge as remove

    home = resolve_home(os.environ)
    if purge and not yes and sys.stdin.isatty():
        click.confirm(f"Remove {home.root} with the cluster and the repository in it?", abort=True)
    ran = stop(home, _say)
    if not ran:
        _say("nothing was running")
    if purge:
        try:
            remove(home)
        except UpError as error:
            click.echo(f"tiphys down: {error}", err=True)
            return 1
        _say(f"{home.root} removed")
    return 0


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the answer.")
def status(output: str) -> int:
    """Say what runs here. Exit code 0 when both daemons run, 1 otherwise.

    \b
    Example:
      tiphys status -o json
    """
    from tiphys.devenv.home import resolve_home
    from tiphys.devenv.up import DAEMONS, standing

    found = standing(resolve_home(os.environ))
    if output == "json":
        answer = {
            "home": str(found.home.root),
            "url": found.url,
            "kubeconfig": str(found.home.kubeconfig),
            "daemons": {
                name: {
                    "running": name in found.running,
                    "pid": found.running[name].pid if name in found.running else None,
                }
                for name in DAEMONS
            },
        }
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo(f"home       {found.home.root}")
        for name in DAEMONS:
            daemon = found.running.get(name)
            if daemon is None:
                click.echo(f"{name:<10} not running")
            else:
                minutes = max(0, int(time.time() - daemon.started)) // 60
                click.echo(f"{name:<10} running, pid {daemon.pid}, for {minutes} min")
        if found.url:
            click.echo(f"url        {found.url}")
            click.echo(f"kubeconfig {found.home.kubeconfig}")
        if not found.complete:
            click.echo(f"\nStart what does not run with `{_prefix()} up`.")
    return 0 if found.complete else 1


@click.command()
@click.argument("name", type=click.Choice(["cluster", "engine"]), default="engine")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
@click.option("--tail", default=200, show_default=True, help="Lines from the end; 0 prints all.")
def logs(name: str, follow: bool, tail: int) -> int:
    """Print the log of a daemon.

    \b
    Example:
      tiphys logs -f engine
    """
    from tiphys.devenv.home import resolve_home

    path = resolve_home(os.environ).log(name)
    if not path.exists():
        click.echo(f"tiphys logs: there is no log of {name}; did `tiphys up` run?", err=True)
        return 1
    with path.open(errors="replace") as file:
        lines = file.readlines()
        for line in lines[-tail:] if tail > 0 else lines:
            click.echo(line, nl=False)
        while follow:
            line = file.readline()
            if line:
                click.echo(line, nl=False)
            else:
                time.sleep(0.2)
    return 0


@click.command()
def env() -> int:
    """Print what makes kubectl and the CLI of this shell talk to what runs here.

    \b
    Example:
      eval "$(tiphys env)"
    """
    from tiphys.devenv.home import resolve_home
    from tiphys.devenv.up import environment

    home = resolve_home(os.environ)
    if not home.kubeconfig.exists():
        _say(f"tiphys env: nothing was started in {home.root} yet; run `{_prefix()} up` first")
    for name, value in environment(home, Path(sys.executable).parent).items():
        quoted = f'"{value}"' if "$" in value else shlex.quote(value)
        click.echo(f"export {name}={quoted}")
    return 0


def _prefix() -> str:
    """How the user started us, so that what is printed can be typed as it stands."""
    program = Path(sys.argv[0])
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return "tiphys" if str(program.parent) in folders else os.path.relpath(program)
