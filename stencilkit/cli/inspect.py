"""`stencilkit inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from stencilkit.cli import _bundles, _options
from stencilkit.pipeline import bundling


@click.command()
@click.argument("bundle", type=_options.EXISTING_PATH)
@_options.format_option("text", "json")
def command(bundle: Path, form: str) -> None:
    """Show what is in a bundle, after checking every digest in it. Nothing is unpacked.

    Whether it fits a configured CPython is for stencilkit install --check to say.
    """
    _bundles.show(bundle, bundling.open_all(bundle), form)
