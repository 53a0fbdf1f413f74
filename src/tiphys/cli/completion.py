"""`tiphys completion`: what the shell sources to complete commands, options and names."""

from __future__ import annotations

import click

from tiphys.cli.arguments import Flag, Verb


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
    click.echo(found(ctx.find_root().command, {}, program, variable(program)).source())


def variable(program: str) -> str:
    """The environment variable in which the shell asks."""
    return f"_{program.upper()}_COMPLETE"


def complete(root: click.Command, program: str, instruction: str) -> int:
    """Answer the shell: `bash_complete` and its like."""
    from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

    shell, _, asked = instruction.partition("_")
    base = get_completion_class(shell)
    if base is None:
        return 1
    completer = base(root, {}, program, variable(program))
    if asked == "source":
        click.echo(completer.source())
        return 0
    if asked != "complete":
        return 1
    words, incomplete = completer.get_completion_args()
    found: list[CompletionItem] = ShellComplete.get_completions(completer, _values_written(root, words), incomplete)
    click.echo("\n".join(completer.format_completion(item) for item in found))
    return 0


def _values_written(root: click.Command, words: list[str]) -> list[str]:
    """Words with bare booleans as `--name=true`: what follows one is not its value."""
    known = set()
    command: click.Command | None = root
    context = click.Context(root, resilient_parsing=True)
    for word in [*words, ""]:
        if command is None:
            break
        known |= {name for param in command.get_params(context) if isinstance(param, Flag) for name in param.opts}
        if isinstance(command, click.Group) and not word.startswith("-"):
            found = command.get_command(context, word)
            if found is not None:
                context = click.Context(found, parent=context, resilient_parsing=True)
                command = found
    return [f"{word}=true" if word in known else word for word in words if word not in known or word.startswith("--")]
