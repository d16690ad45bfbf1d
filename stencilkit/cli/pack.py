"""`stencilkit pack`."""

from __future__ import annotations

from pathlib import Path

import click

from stencilkit import artifact
from stencilkit.cli import _bundles, _options, _progress, _verdicts
from stencilkit.errors import ExitCode, UsageError
from stencilkit.pipeline import bundling, installing, placing
from stencilkit.support import files


@click.command()
@click.argument("folders", metavar="OUT-DIR...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("-o", "--output", required=True, type=_options.ANY_PATH, help="The bundle (.tar.gz, .tgz or .tar).")
@click.option(
    "--names", type=click.Choice(["bundle", "fedora"]), default="bundle", show_default=True, help="Of what is written."
)
@click.option(
    "--stamp",
    type=_options.ANY_PATH,
    metavar="BUILD-DIR",
    help="Put on line 1 what this configured folder's make expects there, so that it takes them without stencilkit.",
)
@click.option("--cpython", metavar="DIR", help="The source tree, for --stamp. [default: the current folder]")
@click.option("--allow-mingw", is_flag=True, help="Take stencils that were compiled with mingw's headers.")
@_options.format_option("text", "json")
def command(
    folders: tuple[Path, ...],
    output: Path,
    names: str,
    stamp: Path | None,
    cpython: str | None,
    allow_mingw: bool,
    form: str,
) -> int:
    """Pack the output folders of stencilkit build into one bundle.

    All targets, flavours and LLVMs of one CPython go in; the same folders always give the same bytes. With --names
    fedora, OUTPUT is a folder, and headers get the names that Fedora's sources have:
    Python-<version>-<arch>-<debug|optimized>-jit_stencils.h. Windows stencils that were compiled with mingw's headers
    are refused: they are good for checks, and not for an msvc build.

    --stamp is for one source (--cpython) and configuration; the stencils must fit both, or 1 is the exit code. Bundles
    that stencilkit install will place need none.
    """
    artifacts = tuple(item for folder in folders for item in bundling.open_all(folder))
    bundling.check_headers(artifacts, mingw=allow_mingw)
    if stamp:
        tree = _options.open_tree(cpython, _progress.choose(form))
        artifacts, verdicts = installing.stamp(placing.look_at(tree, stamp), artifacts)
        if not all(verdict.accepted for verdict in verdicts):
            _verdicts.show(verdicts, form, quiet=True)
            return ExitCode.DIFFERENT
    if names == "fedora":
        files.write_together(output, artifact.fedora_names(artifacts))
    elif output.name.endswith((".tar.gz", ".tgz", ".tar")):
        files.write(output, bundling.pack(artifacts, compress=not output.name.endswith(".tar")))
    else:
        raise UsageError(f"--output {output}: a bundle is a .tar.gz, .tgz or .tar")
    _bundles.show(output, artifacts, form)
    return ExitCode.OK
