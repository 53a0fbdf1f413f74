"""Root command, global options, exit codes; `run(argv) -> int`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

# Command -> module and attribute. A command's module is imported when the command is run, so that `tiphys version` does not
# pay for the engine.
COMMANDS = {
    "down": ("tiphys.cli.environment", "down"),
    "env": ("tiphys.cli.environment", "env"),
    "logs": ("tiphys.cli.environment", "logs"),
    "status": ("tiphys.cli.environment", "status"),
    "up": ("tiphys.cli.environment", "up"),
    "devcluster": ("tiphys.cli.devcluster", "devcluster"),
    "nodesim": ("tiphys.cli.nodesim", "nodesim"),
    "run": ("tiphys.cli.run", "run"),
}


class LazyGroup(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands by name."""
        return sorted({*COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        found = COMMANDS.get(cmd_name)
        if found is None:
            return super().get_command(ctx, cmd_name)
        command = getattr(importlib.import_module(found[0]), found[1])
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def root() -> None:
    """Tiphys: Git says what should run, Tiphys makes clusters equal to it and keeps them so."""


def run(argv: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    try:
        result = root.main(args=list(argv), prog_name="tiphys", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 1
    except click.Abort:
        return 130
    return result if isinstance(result, int) else 0


def entrypoint() -> None:
    """The console command."""
    sys.exit(run(sys.argv[1:]))
