"""`tiphys completion`: what the shell sources to complete commands and options."""

from __future__ import annotations

import click

from tiphys.cli.arguments import Verb


@click.command("completion", cls=Verb)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print shell completion code.

    \b
    Examples:
      source <(tiphys completion bash)
      tiphys completion zsh > "${fpath[1]}/_tiphys"
      tiphys completion fish > ~/.config/fish/completions/tiphys.fish
    """
    from click.shell_completion import get_completion_class

    program = ctx.find_root().info_name or "tiphys"
    found = get_completion_class(shell)
    assert found is not None
    complete_var = f"_{program.upper()}_COMPLETE"
    click.echo(found(ctx.find_root().command, {}, program, complete_var).source())
