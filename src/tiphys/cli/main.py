"""Root command, exit codes; `run(argv) -> int`. Runs under the name `tiphys` and under `argocd`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from tiphys.cli.arguments import Noun, given_globals
from tiphys.cli.failure import ERROR, FAILED, USAGE, CommandFailed, is_for_people, report

# Command -> module and attribute. A command's module is imported when the command is run, so that `tiphys version` does not
# pay for the engine.
COMMANDS = {
    "account": ("tiphys.cli.account", "account"),
    "admin": ("tiphys.cli.admin", "admin"),
    "app": ("tiphys.cli.app.group", "app"),
    "cluster": ("tiphys.cli.cluster", "cluster"),
    "completion": ("tiphys.cli.completion", "completion"),
    "configure": ("tiphys.cli.login", "configure"),
    "context": ("tiphys.cli.login", "context"),
    "image": ("tiphys.cli.image", "image"),
    "login": ("tiphys.cli.login", "login"),
    "logout": ("tiphys.cli.login", "logout"),
    "proj": ("tiphys.cli.proj.group", "proj"),
    "relogin": ("tiphys.cli.login", "relogin"),
    "version": ("tiphys.cli.version", "version"),
    "down": ("tiphys.cli.environment", "down"),
    "env": ("tiphys.cli.environment", "env"),
    "logs": ("tiphys.cli.environment", "logs"),
    "status": ("tiphys.cli.environment", "status"),
    "up": ("tiphys.cli.environment", "up"),
    "devcluster": ("tiphys.cli.devcluster", "devcluster"),
    "nodesim": ("tiphys.cli.nodesim", "nodesim"),
    "k8s-auth": ("tiphys.cli.k8sauth", "k8s_auth"),
    "run": ("tiphys.cli.run", "run"),
}
# What stands in the root command's help; given here so that help imports nothing.
SUMMARIES = {
    "account": "Manage the account that is logged in.",
    "admin": "What needs the cluster instead of the API.",
    "app": "Manage applications.",
    "cluster": "Manage clusters that Applications may be deployed to.",
    "completion": "Print shell completion code.",
    "configure": "Change settings of this CLI.",
    "context": "Show or switch contexts.",
    "image": "Set and list container images in a repository's files.",
    "login": "Log in to a server.",
    "logout": "Log out.",
    "proj": "Manage projects.",
    "relogin": "Log in again where the current context points.",
    "version": "Print version information.",
    "down": "Stop what `up` started.",
    "env": "Print what makes kubectl and this CLI talk to what runs here.",
    "logs": "Print the log of a daemon.",
    "status": "Say what runs here.",
    "up": "Start an embedded cluster and Tiphys here, and deploy an example.",
    "devcluster": "Run the embedded Kubernetes API server.",
    "nodesim": "Simulate a node for an API server that has none.",
    "k8s-auth": "Print credentials for a Kubernetes API server.",
    "run": "Run the engine.",
}


# Nouns of Argo CD's CLI that are not there yet, and what is done instead.
NOT_YET = {
    "appset": "ApplicationSets are not supported yet: write the Applications, or generate them into Git",
    "cert": "known hosts and certificates are in the ConfigMaps argocd-ssh-known-hosts-cm and argocd-tls-certs-cm",
    "gpg": "signatures of commits are not checked yet",
    "repo": "a repository's credentials are a Secret with the label argocd.argoproj.io/secret-type=repository",
    "repocreds": "credential templates are Secrets with the label argocd.argoproj.io/secret-type=repo-creds",
}


class LazyNoun(Noun):
    """A group that imports a command when it is asked for."""

    def __init__(
        self, *args: Any, commands_by_name: dict[str, tuple[str, str]], summaries: dict[str, str], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = commands_by_name
        self._summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands by name."""
        return sorted({*self._lazy, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        found = self._lazy.get(cmd_name)
        if found is None:
            return super().get_command(ctx, cmd_name)
        command = getattr(importlib.import_module(found[0]), found[1])
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command; what Argo CD's CLI has and this one has not says what is done instead."""
        if args[0] in NOT_YET and args[0] not in self._lazy:
            ctx.fail(f"`{ctx.command_path} {args[0]}` is not there yet: {NOT_YET[args[0]]}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Commands with a line each."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summaries.get(name, "")) for name in self.list_commands(ctx)])


@click.group(
    cls=LazyNoun,
    commands_by_name=COMMANDS,
    summaries=SUMMARIES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
def root() -> None:
    """Git says what should run; Tiphys makes clusters equal to it and keeps them so.

    \b
    Example:
      tiphys up
      tiphys app get my-app
    """


def run(argv: Sequence[str], *, program: str = "tiphys") -> int:
    """Run one command line; the exit code."""
    given: dict[str, Any] = {}
    asked: click.Context | None = None
    try:
        with root.make_context(program, list(argv)) as ctx:
            asked = ctx
            try:
                result = root.invoke(ctx)
            finally:
                given = given_globals(ctx)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:  # wrong usage, or a group without a verb
        error.show()
        return USAGE if _is_extended(argv) else FAILED
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        return _closed_pipe()
    except Exception as error:
        logformat = given.get("logformat")
        failed = _as_failure(error, asked if is_for_people(logformat) else None)
        if failed is None:
            raise
        report(failed, logformat=logformat)
        return failed.extended if given.get("exit_codes") == "extended" else failed.code


def _is_extended(argv: Sequence[str]) -> bool:
    """Whether extended exit codes are asked for on a command line that could not be parsed."""
    return "--exit-codes=extended" in argv or "--exit-codes extended" in " ".join(argv)


def _as_failure(error: Exception, ctx: click.Context | None) -> CommandFailed | None:
    """What is the user's or the server's affair; None is a bug of ours and keeps its stack.

    With a context people read it: names that are not there are answered with near ones.
    """
    if isinstance(error, CommandFailed):
        return error
    from tiphys.cli.output import UnknownFormError

    if isinstance(error, UnknownFormError):
        return CommandFailed(str(error), code=ERROR, hint="`--help` of this command lists the forms it has.")
    from tiphys.client.errors import ApiFailure, ContextError, Unreachable

    if isinstance(error, Unreachable):
        from tiphys.cli.explain import unreachable

        return unreachable(error)
    if isinstance(error, ApiFailure):
        if ctx is not None:
            from tiphys.cli.explain import explained

            return explained(ctx, error)
        return CommandFailed(str(error))
    if isinstance(error, ContextError):
        return CommandFailed(str(error))
    return None


def _closed_pipe() -> int:
    """Whoever read our output has gone, as `head` does; say nothing more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def entrypoint() -> None:
    """The console command."""
    program = "argocd" if os.path.basename(sys.argv[0]).startswith("argocd") else "tiphys"
    instruction = os.environ.get(f"_{program.upper()}_COMPLETE")
    if instruction:
        from tiphys.cli.completion import complete

        sys.exit(complete(root, program, instruction))
    _run_plugin(sys.argv[1:])
    sys.exit(run(sys.argv[1:], program=program))


def _run_plugin(argv: Sequence[str]) -> None:
    """Become `argocd-NAME` from PATH when the first word is no command of ours but such a program is there."""
    name = argv[0] if argv else ""
    if not name or name.startswith("-") or "/" in name or name in COMMANDS:
        return
    import shutil

    found = shutil.which(f"tiphys-{name}") or shutil.which(f"argocd-{name}")
    if found is not None:
        os.execv(found, [found, *argv[1:]])  # noqa: S606 - the user's own program
