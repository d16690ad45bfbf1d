"""`stencilkit pack`."""

from __future__ import annotations

from pathlib import Path

import click

from stencilkit import artifact
from stencilkit.cli import _bundles, _options
from stencilkit.errors import UsageError
from stencilkit.pipeline import bundling
from stencilkit.support import files


@click.command()
@click.argument("folders", metavar="OUT-DIR...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("-o", "--output", required=True, type=_options.ANY_PATH, help="The bundle (.tar.gz, .tgz or .tar).")
@click.option("--names", type=click.Choice(["bundle", "fedora"]), default="bundle", show_default=True)
@_options.format_option("text", "json")
def command(folders: tuple[Path, ...], output: Path, names: str, form: str) -> None:
    """Pack the output folders of stencilkit build into one bundle.

    All targets, flavours and LLVMs of one CPython go in; the same folders always give the same bytes. With --names
    fedora, OUTPUT is a folder, and headers get the names that Fedora's sources have:
    Python-<version>-<arch>-<debug|optimized>-jit_stencils.h.
    """
    artifacts = tuple(item for folder in folders for item in bundling.open_all(folder))
    if names == "fedora":
        files.write_together(output, artifact.fedora_names(artifacts))
    elif output.name.endswith((".tar.gz", ".tgz", ".tar")):
        files.write(output, bundling.pack(artifacts, compress=not output.name.endswith(".tar")))
    else:
        raise UsageError(f"--output {output}: a bundle is a .tar.gz, .tgz or .tar")
    _bundles.show(output, artifacts, form)
