"""`stencilkit report`."""

from __future__ import annotations

from pathlib import Path

import click

from stencilkit import __version__
from stencilkit.cli import _cells, _options, _render
from stencilkit.pipeline import reporting
from stencilkit.support import words


@click.command()
@click.argument("paths", metavar="DIR|LEDGER...", nargs=-1, required=True, type=_options.EXISTING_FOLDER)
@_options.shared("--out", help="Folder to write pages to. [default: only print the table]")
@_options.format_option("text", "json", "markdown")
def command(paths: tuple[Path, ...], out: Path | None, form: str) -> None:
    """Show results of `stencilkit qualify` and ledgers, as a table or as web pages.

    With --out, it writes static pages, which open from disk and need no network: a heat map, plots, a page for each
    cell and for each stencil that differs, and every table as JSON. A folder that contains several folders of results
    stands for all of them.
    Results of another version of stencilkit are shown, and a note names it.
    """
    found = reporting.gather(paths)
    if out is not None:
        count = reporting.write(found, out)
        _render.say(f"wrote {words.counted(count, 'file')}; open {out / 'index.html'}", err=True)
    for version in reporting.other_versions(found):
        note = f"note: stencilkit {version} made some of these results; this is {__version__}, which may ask otherwise"
        _render.say(note, err=True)
    _cells.show(found, form)
