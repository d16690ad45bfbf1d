"""Groups of commands, and what users get who mistype a command, an option or a value."""

from __future__ import annotations

import re
from typing import Final

import click

from stencilkit.cli import _render
from stencilkit.errors import ExitCode, UsageError
from stencilkit.support import suggest

# click does not hand over the value that it refuses.
_NOT_ONE_OF: Final = re.compile(r"'(?P<value>[^']*)' is not one of ")

# Longer than any first sentence.
_WHOLE: Final = 1000


class Group(click.Group):
    """A group that prints its help, with exit code 2, where no command is named, and asks what a mistyped one means."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Print the help where there are no words."""
        # click's own exit code and stream for that differ between its versions.
        if not args and not self.invoke_without_command and not ctx.resilient_parsing:
            _render.say(self.get_help(ctx), err=True)
            raise click.exceptions.Exit(ExitCode.TROUBLE)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with what they do; click cuts the sentences off, and here they wrap."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(_WHOLE)) for name, command in commands if command])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command.

        Raises: UsageError, with those that the word may mean.
        """
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            near = suggest.nearest(name, self.list_commands(ctx), also=suggest.COMMAND_WORDS)
            manual = f"{ctx.command_path} --help lists all"
            raise UsageError(f"there is no command {name}", fix=f"{suggest.question(near)} {manual}".strip())
        return super().resolve_command(ctx, args)


def explain(error: click.ClickException) -> UsageError:
    """Turn what click says of a command line into an error of ours, with what a mistyped word may mean."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    manual = f"{context.command_path if context else 'stencilkit'} --help"
    if isinstance(error, click.NoSuchOption):
        options = [name for option in context.command.params for name in option.opts] if context else []
        near = suggest.nearest(error.option_name, [name for name in options if name.startswith("--")])
        return UsageError(f"there is no option {error.option_name}", fix=f"{suggest.question(near)} {manual}".strip())
    near = _choices(error) if isinstance(error, click.BadParameter) else ()
    return UsageError(error.format_message().rstrip("."), fix=f"{suggest.question(near)} {manual}".strip())


def _choices(error: click.BadParameter) -> tuple[str, ...]:
    """List which of the values that an option takes may be meant."""
    kind = error.param.type if error.param else None
    given = _NOT_ONE_OF.match(error.message)
    if not (given and isinstance(kind, click.Choice)):
        return ()
    return suggest.nearest(given["value"], kind.choices, also=suggest.CHOICE_WORDS)
