"""`stencilkit cache`."""

from __future__ import annotations

import click

from stencilkit.cli import _groups, _options, _render
from stencilkit.support import environ
from stencilkit.support.cache import Store


@click.group(cls=_groups.Group)
def command() -> None:
    """Show or empty the cache of compiled uops, sources and pyconfig.h files.

    The cache is in STENCILKIT_CACHE, or else in the platform's folder for caches. Compiled uops take up to 1 GiB;
    those that were not used for the longest time are removed first.
    """


@command.command()
@_options.format_option("text", "json")
def info(form: str) -> None:
    """Show where the cache is and what it holds."""
    root = environ.cache_root()
    parts = {name: Store(root / name).info() for name in _options.CACHE_PARTS}
    if form == "json":
        content = {name: {"files": part.entries, "bytes": part.size} for name, part in parts.items()}
        _render.print_json("cache", {"folder": str(root), "parts": content})
        return
    _render.say(root)
    rows = [[name, str(part.entries), f"{part.size / 2**20:.1f}"] for name, part in parts.items()]
    _render.print_table(["part", "files", "MiB"], rows)


@command.command()
@click.option("--all", "everything", is_flag=True, help="Also remove sources, tarballs and pyconfig.h files.")
def clear(everything: bool) -> None:
    """Remove the compiled uops, or everything."""
    root = environ.cache_root()
    for name in _options.CACHE_PARTS if everything else _options.CACHE_PARTS[:1]:
        Store(root / name).clear()
