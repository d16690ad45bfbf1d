"""`stencilkit completion`."""

from __future__ import annotations

import click

from stencilkit.cli import _completion, _render


@click.command()
@click.argument("shell", type=click.Choice(_completion.SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, options, triples and versions in a shell.

    Packages and wheels put it where shells look for it. Elsewhere: eval "$(stencilkit completion bash)" in ~/.bashrc,
    the same with zsh in ~/.zshrc, or stencilkit completion fish | source in config.fish.
    """
    group = ctx.find_root().command
    assert isinstance(group, click.Group)  # noqa: S101  # a command of ours
    _render.say(_completion.script(group, shell), nl=False)
