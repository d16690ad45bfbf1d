"""`stencilkit fetch`."""

from __future__ import annotations

from pathlib import Path

import click

from stencilkit import fetch, pins
from stencilkit.cli import _completion, _options, _progress, _render
from stencilkit.support import environ


@click.command()
@click.argument("version", shell_complete=_completion.pythons)
@click.option("--to", type=_options.FOLDER, help="Folder to unpack to, which must not exist. [default: the cache]")
@_options.shared("--sha256", help="SHA-256 of the .tar.xz, for a release that is neither pinned nor in an index.")
@_options.format_option("text", "json")
def command(version: str, to: Path | None, sha256: str | None, form: str) -> None:
    """Fetch the source of a CPython release, checked against its hash.

    VERSION may be a series, such as 3.15, for its newest available release. The hash comes from pins.toml, from
    Debian's or Ubuntu's source index, whose signature apt checks, or from --sha256. The tarball comes from this
    machine's apt mirror or from python.org. Prints the folder of the source tree.
    """
    progress = _progress.choose(form)
    root = environ.cache_root()
    folder = fetch.fetch(version, pins.load(), root, sha256=sha256, to=to, progress=progress)
    if form == "json":
        _render.print_json("source", {"version": version, "folder": str(folder)})
    else:
        _render.say(folder)
