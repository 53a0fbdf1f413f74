"""Arguments as Argo CD's users type them: Go's booleans, and global options before or after the verb.

`--cascade=false` and `--cascade` are both right and a bare flag never takes the word after it, so the words are put in
order before click reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _BoolType = click.ParamType[bool]
else:
    _BoolType = click.ParamType  # not subscriptable before click 8.4

_META = "tiphys.globals"
_OF_CORE = (
    "--controller-name",
    "--redis-compress",
    "--redis-haproxy-name",
    "--redis-name",
    "--repo-server-name",
    "--server-name",
)
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


class GoBool(_BoolType):
    """A boolean as Go's ParseBool reads it."""

    name = "bool"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        """The boolean."""
        if isinstance(value, bool):
            return value
        if value in _TRUE:
            return True
        if value not in _FALSE:
            self.fail(f'strconv.ParseBool: parsing "{value}": invalid syntax', param, ctx)
        return False


class Flag(click.Option):
    """A boolean option: `--name`, `--name=true`, `--name=false`."""

    def make_metavar(self, ctx: click.Context) -> str:
        """Nothing: the value is rarely written."""
        return ""


def flag(
    *names: str, default: bool | None = False, help: str = "", hidden: bool = False, expose_value: bool = True
) -> Callable[[Any], Any]:
    """A boolean option; `default=None` tells "not given" apart."""
    shown = f"{help} [default: true]" if default else help
    return click.option(
        *names, cls=Flag, type=GoBool(), default=default, help=shown, hidden=hidden, expose_value=expose_value
    )


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is not None and value != ():
        found: dict[str, Any] = ctx.meta.setdefault(_META, {})
        name = param.name or ""
        found[name] = (*found.get(name, ()), *value) if isinstance(value, tuple) else value


def _global(*names: str, **options: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_remember, default=None, **options)


def _global_flag(name: str, help: str) -> click.Option:
    return Flag([name], type=GoBool(), expose_value=False, callback=_remember, default=None, help=help)


def global_options() -> list[click.Option]:
    """The options every verb takes."""
    return [
        _global("--server", metavar="HOST[:PORT]", help="Address of the API. [$ARGOCD_SERVER]"),
        _global("--auth-token", metavar="TOKEN", help="Token to use. [$ARGOCD_AUTH_TOKEN]"),
        _global("--argocd-context", metavar="NAME", help="Context to use."),
        _global("--config", metavar="FILE", help="Configuration file. [$ARGOCD_CONFIG_DIR/config]"),
        _global_flag("--insecure", "Do not verify the server's certificate."),
        _global_flag("--plaintext", "Use HTTP without TLS."),
        _global_flag("--grpc-web", "Accepted; the API is always reached through HTTP."),
        _global("--grpc-web-root-path", metavar="PATH", help="Path below which the API is served."),
        _global("--server-crt", metavar="FILE", help="Certificates (PEM) the server is verified with."),
        _global("--client-crt", metavar="FILE", help="Client certificate (PEM)."),
        _global("--client-crt-key", metavar="FILE", help="Key of the client certificate (PEM)."),
        _global("-H", "--header", metavar="NAME:VALUE", multiple=True, help="Header to send; repeatable."),
        _global("--http-retry-max", type=int, metavar="N", help="Retries of requests that got no answer."),
        _global("--logformat", type=click.Choice(["json", "text"]), help="Form of errors. [default: by terminal]"),
        _global(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            help="Colours. [default: auto, on a terminal without $NO_COLOR]",
        ),
        _global(
            "--exit-codes",
            type=click.Choice(["compat", "extended"]),
            help="Exit codes: Argo CD's, or one for each way to fail. [default: compat]",
        ),
        _global("--loglevel", metavar="LEVEL", help="debug, info, warn or error."),
        _global_flag(
            "--prompts-enabled", "Ask before deletions on a terminal, the default; --prompts-enabled=false never asks."
        ),
        _global_flag("--core", "Not supported: there is always a server."),
        _global_flag("--port-forward", "Not supported: use `kubectl port-forward`."),
        _global("--port-forward-namespace", metavar="NAMESPACE", help="Not supported, as --port-forward."),
        _global("--kube-context", metavar="NAME", help="Accepted and ignored: it belongs to --core."),
        *(
            click.Option([name], expose_value=False, hidden=True, help="Accepted and ignored: it belongs to --core.")
            for name in _OF_CORE
        ),
    ]


def given_globals(ctx: click.Context) -> dict[str, Any]:
    """Global options as given, before or after the verb, by parameter name."""
    found: dict[str, Any] = ctx.meta.get(_META, {})
    return found


class Verb(click.Command):
    """A command that takes the global options too; they are listed by the root command's help only."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Own options, then the global ones that they do not shadow."""
        own = super().get_params(ctx)
        return [*own, *_unshadowed(own)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Own options only."""
        records = [record for param in super().get_params(ctx) if (record := param.get_help_record(ctx)) is not None]
        if records:
            with formatter.section("Options"):
                formatter.write_dl(records)
        formatter.write_paragraph()
        root = ctx.find_root().info_name
        formatter.write_text(f"Global options (--server, --auth-token, --insecure, ...): {root} --help")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with Go's booleans put in order."""
        return super().parse_args(ctx, list(ordered(self.get_params(ctx), args, interspersed=True)))


class Noun(click.Group):
    """A group of verbs; global options may stand before the verb."""

    command_class = Verb

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Own options, then the global ones."""
        own = super().get_params(ctx)
        return [*own, *_unshadowed(own, hidden=ctx.parent is not None)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse up to the verb, with Go's booleans put in order."""
        return super().parse_args(ctx, list(ordered(self.get_params(ctx), args, interspersed=False)))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb; an unknown one is answered with those that look like it."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            import difflib

            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f'unknown command "{name}" for "{ctx.command_path}".{meant}')
        return super().resolve_command(ctx, args)


def _unshadowed(own: Sequence[click.Parameter], *, hidden: bool = True) -> Iterator[click.Parameter]:
    taken = {name for param in own for name in param.opts}
    for option in global_options():
        if not taken.intersection(option.opts):
            option.hidden = hidden or option.hidden
            yield option


def ordered(params: Sequence[click.Parameter], args: Sequence[str], *, interspersed: bool) -> Iterator[str]:
    """The words with every boolean option written as `--name=value`, so that a bare one takes nothing."""
    options = {name: param for param in params if isinstance(param, click.Option) for name in param.opts}
    words = iter(args)
    for word in words:
        if word == "--" or (not word.startswith("-") and not interspersed):
            yield word
            yield from words
            return
        if word.startswith("--") and len(word) > 2:
            name, equals, _ = word.partition("=")
            option = options.get(name)
            if isinstance(option, Flag):
                yield word if equals else f"{word}=true"
                continue
            yield word
            if option is not None and not equals and not option.is_flag and not option.count:
                yield from _value(words)
        elif word.startswith("-") and len(word) > 1:
            yield from _short(options, word, words)
        else:
            yield word


def _short(options: dict[str, click.Option], word: str, words: Iterator[str]) -> Iterator[str]:
    """`-y`, `-y=false`, `-yN value`, `-Nvalue`: booleans apart from each other, a value stays with its option."""
    rest = word[1:]
    while rest:
        name, rest = f"-{rest[0]}", rest[1:]
        option = options.get(name)
        if isinstance(option, Flag):
            if rest.startswith("="):
                yield f"{name}{rest[1:]}"
                return
            yield f"{name}true"
        elif option is None or option.is_flag:
            yield f"{name}{rest}"
            return
        else:
            yield f"{name}{rest.removeprefix('=')}"
            if not rest:
                yield from _value(words)
            return


def _value(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        yield word
        return
